"""Images by content: each is kept once, under the digest of its bytes as they came, whatever it was called.

    <store>/images/3f/3f9c…        the bytes of the file, untouched
    [{"digest": "3f9c…", "width": 640, "height": 480}]        how a row refers to its images, in order

An image becomes pixels as late as it can, in the batch.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from sft_core.fingerprint import digest_bytes

IMAGES_FOLDER = "images"


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

    def put(self, content: bytes) -> str:
        """Keep an image's bytes unless they are here, and return their digest. Several may do so at once."""
        digest = digest_bytes([content])
        path = self.path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.partial")
            partial.write_bytes(content)
            partial.replace(path)
        return digest

    def open(self, digest: str) -> Any:
        """Return an image, a `PIL.Image.Image` in RGB, upright.

        Raises:
            OSError: if it is not here any more, or cannot be read.
        """
        from PIL import Image, ImageOps

        with Image.open(self.path(digest)) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
