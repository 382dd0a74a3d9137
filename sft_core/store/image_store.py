"""Store of images by content: each image is kept once, under the digest of its original bytes, whatever its name.

    <store>/images/3f/3f9c…        the bytes of the file, unchanged
    [{"digest": "3f9c…", "width": 640, "height": 480}]        how a row refers to its images, in order

An image is decoded as late as possible, when its batch is made.
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
"""File in the folder of an artifact with the digests of all images that it refers to."""
KINDS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM", "QOI")
"""Image formats that are opened, if the installed Pillow supports them. Formats that are drawn by running a program,
such as EPS, are not among them."""


@dataclass(frozen=True, slots=True)
class ImageRef:
    """Reference from a row to one image."""

    digest: str
    """Digest of its bytes, which is its name in the store."""
    width: int
    """Pixels of the upright image, after the EXIF orientation is applied."""
    height: int


def encode_images(images: Sequence[ImageRef]) -> bytes:
    """Write a row's images as JSON."""
    return orjson.dumps([asdict(image) for image in images])


def decode_images(images: str | bytes | None) -> list[ImageRef]:
    """Read the output of `encode_images`; None and an empty text give an empty list."""
    return [ImageRef(**fields) for fields in orjson.loads(images)] if images else []


def identity_of_images(images: bytes | None) -> int:
    """Return the 64 bits that a row's images, as JSON, add to the ids of its example and its prompt; 0 without images.

    They are added by exclusive or, so that they can be removed again when the paths of the images are replaced by
    digests of their content.
    """
    return int.from_bytes(hashlib.blake2b(images, digest_size=8).digest(), "big") if images else 0


def write_digests(folder: Path, digests: Iterable[str]) -> None:
    """Write the digests of all images that an artifact refers to into its folder."""
    (folder / IMAGES_FILE).write_bytes(orjson.dumps(sorted(set(digests))))


def read_digests(folder: Path) -> list[str]:
    """Read the digests of the images that an artifact refers to; an empty list if it has no such file."""
    file = folder / IMAGES_FILE
    return list(orjson.loads(file.read_bytes())) if file.is_file() else []


def open_image(source: Path | IO[bytes]) -> Any:
    """Read an image's header: a `PIL.Image.Image` whose pixels are not decoded yet.

    Raises:
        OSError: if its format is not in `KINDS`, or it cannot be read.
    """
    from PIL import Image

    # the recipe limits the number of pixels (`images.max_pixels`), and this is checked before an image is decoded
    Image.MAX_IMAGE_PIXELS = None
    Image.init()
    return Image.open(source, formats=[kind for kind in KINDS if kind in Image.OPEN])


def upright(image: Any) -> Any:
    """Decode an image to RGB and apply its EXIF orientation."""
    from PIL import ImageOps

    return ImageOps.exif_transpose(image).convert("RGB")


@dataclass(frozen=True, slots=True)
class ImageStore:
    """A folder of images."""

    folder: Path

    @classmethod
    def below(cls, root: Path) -> "ImageStore":
        """Return the image store of the artifact store with this root."""
        return cls(root / IMAGES_FOLDER)

    def path(self, digest: str) -> Path:
        """Return the path of an image, whether it exists or not."""
        return self.folder / digest[:2] / digest

    def has(self, digest: str) -> bool:
        """Return True if an image is stored. An empty file does not count: a crash of the machine may leave one."""
        try:
            return self.path(digest).stat().st_size > 0
        except OSError:
            return False

    def put(self, content: bytes) -> str:
        """Store an image's bytes unless they are stored already, and return their digest. This is safe in parallel.

        The file's modification time is set to now even if it exists, so that `retention` keeps images in use.
        """
        digest = digest_bytes([content])
        path = self.path(digest)
        if self.has(digest):
            with contextlib.suppress(OSError):  # the file may belong to another user
                os.utime(path)
            return digest
        write_whole(path, content)
        return digest

    def open(self, digest: str) -> Any:
        """Return an image: an upright `PIL.Image.Image` in RGB.

        Raises:
            OSError: if it is no longer stored, or cannot be read.
        """
        with open_image(self.path(digest)) as image:
            return upright(image)
