"""Which images are taken."""

from pydantic import Field

from sft_core.section import Section


class ImagesConfig(Section):
    """The images of rows that have some."""

    max_pixels: int = Field(default=100_000_000, ge=1)
    """Width × height that an image may have; the row of a larger one is rejected before any pixel of it is decoded. A
    file of a few kilobytes can decode to many gigabytes (a decompression bomb), and 100 million pixels, the default,
    take 0.3 GB. What the model sees of an image is for its image processor to say."""
