"""Recipe fields for the images of rows."""

from pydantic import Field

from sft_core.section import Section


class ImagesConfig(Section):
    """Limits for the images of rows."""

    max_pixels: int = Field(default=100_000_000, ge=1)
    """Largest accepted width × height of an image. The row of a larger image is rejected before any pixel is decoded. A
    file of a few kilobytes can decode to many gigabytes (a decompression bomb); 100 million pixels, the default, take
    0.3 GB. The model's image processor decides what the model sees of an image."""
