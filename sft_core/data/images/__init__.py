"""Gathering of images: the paths and bytes in rows are replaced by references to checked images, stored by content.

    "photos/1.jpg", 640 × 480    →  <state>/images/3f/3f9c…  and  {"digest": "3f9c…", "width": 640, "height": 480}
    {"bytes": "iVBORw0KGgo…"}    →  the same, from the bytes
    "photos/2.jpg", no such file →  the row is rejected: an image's file is missing

Only shards that have rows with images pass through this stage. These invariants hold:

- Every stored image has been decoded to its last pixel, in the same way as for a batch. Its recorded size is that of
  the upright image. The row of an image that is damaged or cannot be shown as it is (animated, CMYK, 16 bits) is
  rejected.
- No file outside its source's folder is read, whether it is named through `..`, an absolute path or a symbolic link.
- A shard is identified by its examples and by the bytes of the files that they name. If a byte of such a file changes,
  or a file appears or disappears, it is another shard.
- Equal images are stored once. Whether rows are duplicates or share a prompt depends on the content of their images,
  not on the names.

Measured on one of two busy cores with 1,000 JPEG files of 46 kB (640 × 480): finding and digesting them takes 0.5 s,
or 0.2 s once their digests are remembered; checking and storing them takes 5 s, nearly all of it decoding.
"""

from sft_core.data.images.config import ImagesConfig
from sft_core.data.images.files import ImageFolder, NamedImages, name_images
from sft_core.data.images.gather import gather

__all__ = ["ImageFolder", "ImagesConfig", "NamedImages", "gather", "name_images"]
