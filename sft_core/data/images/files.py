"""Image files that rows name: the folder that they must be in, and the digests of their content.

data/train.jsonl: "photos/1.jpg"           →  data/photos/1.jpg
data/train.jsonl: "../1.jpg", "/etc/1.jpg"  →  refused; with `image_folder: /` both are accepted
"""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc

from sft_core.data.images.refusal import ImageRefusedError
from sft_core.store.artifact import ArtifactRef
from sft_core.store.file_digests import Remembered
from sft_core.store.fingerprint import digest
from sft_core.store.parts import Part, parts_of_rows
from sft_core.store.records import EXAMPLES
from sft_core.store.tables import read_columns


@dataclass(frozen=True, slots=True)
class ImageFolder:
    """Folder that the image paths in a data file's rows are relative to. No image may be outside of it."""

    path: Path | None
    """Path with symbolic links resolved. None if there is no folder, as for data sets of the Hub, of which only data
    files are downloaded."""

    @classmethod
    def at(cls, path: Path) -> "ImageFolder":
        """Return the folder at a path, with symbolic links resolved."""
        return cls(path.resolve())

    def find(self, name: str) -> Path:
        """Return the path of an image's file.

        Raises:
            ImageRefusedError: if it is not a readable regular file, or is outside of the folder.
        """
        if self.path is None:
            raise ImageRefusedError(
                "an image is named by a file, and of a data set on the Hub only data files are downloaded: take one "
                "that holds its images, or set `sources[].image_folder`"
            )
        try:
            # strings, because a Path takes three times as long, and there may be a million images
            file = os.path.realpath(os.path.join(self.path, name))  # noqa: PTH118
            if not file.startswith(os.path.join(self.path, "")):  # noqa: PTH118
                raise ImageRefusedError(
                    "an image's file lies outside of the folder of the data file: set `sources[].image_folder`"
                )
            mode = os.stat(file).st_mode  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ImageRefusedError("an image's file is missing") from error
        except (OSError, ValueError) as error:  # a name that is too long, symbolic links in a circle, no permission
            raise ImageRefusedError("an image's path can be no file's, or may not be read") from error
        if not stat.S_ISREG(mode):
            raise ImageRefusedError("an image's path is no file's")
        return Path(file)


@dataclass(frozen=True, slots=True)
class ImageFile:
    """File that an image path in a row refers to, with the digest of its bytes or the reason why it is refused."""

    path: Path
    digest: str | None
    refusal: str = ""

    def fingerprint(self) -> str:
        """Return the digest or the reason of the refusal; the path does not matter."""
        return self.digest or self.refusal


@dataclass(frozen=True, slots=True)
class NamedImages:
    """Shard whose rows have images. It is identified by its examples and by the content of the files that they name."""

    examples: ArtifactRef
    parts: tuple[Part, ...]
    """Parts of the shard if small files share it, else empty."""
    files: tuple[Mapping[str, ImageFile], ...]
    """[parts, or one] Image path in a row → the file that it refers to."""

    @property
    def name(self) -> str:
        """Name of the shard's artifacts."""
        return self.examples.name

    def fingerprint(self) -> dict[str, Any]:
        """Return the reference of the examples, and one digest of all files."""
        return {"examples": self.examples, "files": digest(self.files)}


def name_images(
    examples: ArtifactRef,
    table: Path,
    parts: tuple[Part, ...],
    folders: Sequence[ImageFolder],
    digests: Remembered,
    *,
    has_files: bool,
) -> NamedImages:
    """Find and digest all files that a shard's rows name.

    Args:
        examples: Reference of the shard's examples.
        table: Path of its `examples.arrow`.
        parts: Parts of the shard if small files share it; each part has the rows of one file.
        folders: [parts, or one] Image folder of each part.
        digests: Remembered digests of files that have not changed since.
        has_files: False if no row names a file, in which case nothing is read.
    """
    files: list[dict[str, ImageFile]] = [{} for _ in folders]
    if has_files:
        read = read_columns(table, EXAMPLES, ["row", "images"])
        read = read.filter(pc.is_valid(read["images"]))
        part_of_row = parts_of_rows(parts, read["row"].to_numpy())
        for part, images in zip(part_of_row.tolist(), read["images"], strict=True):
            for image in orjson.loads(images.as_py()):
                if isinstance(image, str) and image not in files[part]:
                    files[part][image] = _look_at(folders[part], image, digests)
    return NamedImages(examples, parts, tuple(files))


def _look_at(folder: ImageFolder, name: str, digests: Remembered) -> ImageFile:
    try:
        path = folder.find(name)
        return ImageFile(path, digests.of_file(path))
    except ImageRefusedError as error:
        return ImageFile(Path(name), None, str(error))
    except OSError as error:
        return ImageFile(Path(name), None, f"an image's file cannot be read ({error.strerror})")
