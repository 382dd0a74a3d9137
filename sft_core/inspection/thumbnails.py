"""Images as people look at them on a page: small, and inside it, so that the page needs nothing from anywhere."""

import base64
import io
from dataclasses import dataclass, field

from sft_core.store.image_store import ImageRef, ImageStore

MAX_SIDE = 128
"""Pixels of the longer side."""
MAX_A_PAGE = 48
"""A photograph takes about 5 kB, one that cannot be compressed 16: a page stays below 1 MB."""


@dataclass(slots=True)
class Thumbnails:
    """Small images for one page, each made once, and only so many."""

    store: ImageStore
    room: int = MAX_A_PAGE
    _made: dict[str, str] = field(default_factory=dict)

    def url(self, image: ImageRef) -> str | None:
        """The image as a data URL of a JPEG; None if the page has enough, or the store has it no more."""
        if image.digest in self._made:
            return self._made[image.digest]
        if not self.room:
            return None
        try:
            made = data_url(jpeg(self.store, image))
        except OSError:
            return None
        self.room -= 1
        self._made[image.digest] = made
        return made


def jpeg(store: ImageStore, image: ImageRef) -> bytes:
    """Make an image small.

    Raises:
        OSError: if the store has it no more.
    """
    small = store.open(image.digest)
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    written = io.BytesIO()
    small.save(written, "jpeg", quality=75)
    return written.getvalue()


def data_url(content: bytes) -> str:
    """A JPEG as text."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
