"""From what rows call their images to the images: each is found, opened once, and kept and referred to by content.

    "photos/1.jpg", 640 × 480    →  <home>/images/3f/3f9c…  and  {"digest": "3f9c…", "width": 640, "height": 480}
    {"bytes": "iVBORw0KGgo…"}    →  the same, of the bytes
    "photos/2.jpg", not there    →  the row is rejected: an image's file is missing

It is for rows that have images alone; shards without any do not come here. What always holds:

- An image that is kept has been decoded to its last pixel, as it will be in the batch; its size is that of the upright
  image. What cannot be shown as it is (animated, CMYK, 16 bits) rejects its row, and so does what is damaged.
- No file is read that lies outside of its source's folder, by whatever way: `..`, an absolute path, a symbolic link.
- A shard is known by its examples and by the bytes of the files that they name, so a byte that changes in one of them
  is another shard, and a file that appears or goes away too.
- Equal images are one, and rows are duplicates or share a prompt by what their images hold, not by their names.

Measured (one of two busy cores, 1,000 JPEG files of 46 kB, 640 × 480): finding and digesting them 0.5 s, 0.2 s once
they are known; checking and keeping 5 s, nearly all of it decoding.
"""

from sft_core.data.images.config import ImagesConfig
from sft_core.data.images.files import ImageFolder, NamedImages, name_images
from sft_core.data.images.gather import gather

__all__ = ["ImageFolder", "ImagesConfig", "NamedImages", "gather", "name_images"]
