"""The files that rows name as their images: where they may lie, and what they hold.

data/train.jsonl: "photos/1.jpg"           →  data/photos/1.jpg
data/train.jsonl: "../1.jpg", "/etc/1.jpg"  →  refused; with `image_folder: /` both are files
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
    """The folder that images of a file's rows are named in, and may not leave."""

    path: Path | None
    """Without symbolic links. None: there is none, as with data of the Hub, of which only data files are downloaded."""

    @classmethod
    def at(cls, path: Path) -> "ImageFolder":
        """The one at a path."""
        return cls(path.resolve())

    def find(self, name: str) -> Path:
        """The file of an image.

        Raises:
            ImageRefusedError: if it is none, or lies elsewhere.
        """
        if self.path is None:
            raise ImageRefusedError(
                "an image is named by a file, and of a data set on the Hub only data files are downloaded: take one "
                "that holds its images, or set `sources[].image_folder`"
            )
        try:
            # as text: a Path takes thrice as long, and there may be a million images
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
    """What a name stands for: a file with the digest of its bytes, or a reason why there is none."""

    path: Path
    digest: str | None
    refusal: str = ""

    def fingerprint(self) -> str:
        """Content or refusal; not where it lies."""
        return self.digest or self.refusal


@dataclass(frozen=True, slots=True)
class NamedImages:
    """A shard whose rows have images. It is known by its examples and by what the files hold that they name."""

    examples: ArtifactRef
    parts: tuple[Part, ...]
    """Of a shard that small files share."""
    files: tuple[Mapping[str, ImageFile], ...]
    """[parts, or one] what each name stands for."""

    @property
    def name(self) -> str:
        """What the shard's artifacts are called."""
        return self.examples.name

    def fingerprint(self) -> dict[str, Any]:
        """The examples' key, and one digest of all files."""
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
        examples: The shard.
        table: Its `examples.arrow`.
        parts: Which of its rows were read from which file, where small files share it.
        folders: [parts, or one] where the images of each lie.
        digests: Of files that did not change since the last time.
        has_files: Whether any row names a file; if not, nothing is read.
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
