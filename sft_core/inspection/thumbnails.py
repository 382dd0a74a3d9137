"""Thumbnails of images, embedded in a page so that the page is self-contained."""

import base64
import io
from dataclasses import dataclass, field

from sft_core.store.image_store import ImageRef, ImageStore

MAX_SIDE = 128
"""Length of the longer side in pixels."""
MAX_A_PAGE = 48
"""Number of thumbnails on a page. A photograph takes about 5 kB and an incompressible image 16 kB, so a page stays
below 1 MB."""


@dataclass(slots=True)
class Thumbnails:
    """Thumbnails for one page. Each image is converted once, and their number is limited."""

    store: ImageStore
    room: int = MAX_A_PAGE
    """Number of further images that may be converted."""
    _made: dict[str, str] = field(default_factory=dict)

    def url(self, image: ImageRef) -> str | None:
        """Return the thumbnail as a JPEG data URL; None if the limit is reached or the store has no such image."""
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
    """Scale an image down and encode it as JPEG.

    Raises:
        OSError: if the store no longer has the image.
    """
    small = store.open(image.digest)
    small.thumbnail((MAX_SIDE, MAX_SIDE))
    written = io.BytesIO()
    small.save(written, "jpeg", quality=75)
    return written.getvalue()


def data_url(content: bytes) -> str:
    """Return a JPEG as a data URL."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
