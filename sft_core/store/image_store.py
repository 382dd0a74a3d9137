"""Images by content: each is kept once, under the digest of its bytes as they came, whatever it was called.

    <store>/images/3f/3f9c…        the bytes of the file, untouched
    [{"digest": "3f9c…", "width": 640, "height": 480}]        how a row refers to its images, in order

An image becomes pixels as late as it can, in the batch.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import orjson

from sft_core.store.durable import write_whole
from sft_core.store.fingerprint import digest_bytes

IMAGES_FOLDER = "images"
IMAGES_FILE = "images.json"
"""In the folder of an artifact: the digests of all images that it refers to."""
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI")
"""Kinds of files that are opened, as far as this Pillow knows them. Not among them is what is drawn by running
something, as EPS is."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """One image of a row."""

    digest: str
    """Of its bytes; names it in the store."""
    width: int
    """In pixels, as it is looked at: upright, whatever way it is stored."""
    height: int


def encode_images(images: Sequence[ImageRef]) -> bytes:
    """Write a row's images as JSON."""
    return orjson.dumps([asdict(image) for image in images])


def decode_images(images: str | bytes | None) -> list[ImageRef]:
    """Read what `encode_images` wrote; a row without images has none."""
    return [ImageRef(**fields) for fields in orjson.loads(images)] if images else []


def identity_of_images(images: bytes | None) -> int:
    """What a row's images, as JSON, add to the identity of its example and its prompt, by exclusive or: so that it can
    be taken out again, once what they were called has become what they are. 64 bits; 0 for none."""
    return int.from_bytes(hashlib.blake2b(images, digest_size=8).digest(), "big") if images else 0


def write_digests(folder: Path, digests: Iterable[str]) -> None:
    """Say in an artifact's folder which images it refers to."""
    (folder / IMAGES_FILE).write_bytes(orjson.dumps(sorted(set(digests))))


def read_digests(folder: Path) -> list[str]:
    """The images that an artifact refers to; none where it says nothing."""
    file = folder / IMAGES_FILE
    return list(orjson.loads(file.read_bytes())) if file.is_file() else []


def open_image(source: Path | IO[bytes]) -> Any:
    """Read an image's header: a `PIL.Image.Image` whose pixels are not decoded yet.

    Raises:
        OSError: if it is none of `KINDS`, or cannot be read.
    """
    from PIL import Image

    # how many pixels are too many is for the recipe to say (`images.max_pixels`), which is asked before any is decoded
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    return Image.open(source, formats=[kind for kind in KINDS if kind in Image.OPEN])


def upright(image: Any) -> Any:
    """Decode an image: in RGB, the way it is looked at."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image).convert("RGB")


@dataclass(frozen=True, slots=True)
class ImageStore:
    """A folder of images."""

    folder: Path

    @classmethod
    def below(cls, root: Path) -> "ImageStore":
        """The one that belongs to an artifact store."""
        return cls(root / IMAGES_FOLDER)

    def path(self, digest: str) -> Path:
        """Where an image is, or would be."""
        return self.folder / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Whether an image is here. A file without bytes is what a crash of the machine may leave of one."""
        try:
            return self.path(digest).stat().st_size > 0
        except OSError:
            return False

    def put(self, content: bytes) -> str:
        """Keep an image's bytes unless they are here, and return their digest. Several may do so at once.

        The file's time of change says when it was last put here, so that `retention` keeps what is in use.
        """
        digest = digest_bytes([content])
        path = self.path(digest)
        if self.has(digest):
            with contextlib.suppress(OSError):  # of another owner
                os.utime(path)
            return digest
        write_whole(path, content)
        return digest

    def open(self, digest: str) -> Any:
        """Return an image, a `PIL.Image.Image` in RGB, upright.

        Raises:
            OSError: if it is not here any more, or cannot be read.
        """
        with open_image(self.path(digest)) as image:
            return upright(image)
