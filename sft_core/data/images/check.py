"""Whether an image can be shown: its header first, then all of its pixels, decoded as they will be in the batch."""

from typing import IO, Any

from sft_core.data.images.refusal import ImageRefusedError
from sft_core.store.image_store import open_image, upright

MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"))
"""Modes of Pillow's that RGB shows as they are (transparency is left out, as image processors do). Not CMYK, whose
colours hang on a profile, and not numbers of 16 bits or more (`I;16`, `I`, `F`), which would be cut off at 255."""
STILLS = frozenset(("MPO",))
"""A JPEG with further pictures of the same, for depth or brightness: everybody shows its first."""

Size = tuple[int, int]
"""(width, height) in pixels."""


def check_image(source: IO[bytes], max_pixels: int) -> Size:
    """Open and decode an image.

    Args:
        source: Its bytes.
        max_pixels: That it may have, by its header.

    Returns:
        Its size as it is looked at.

    Raises:
        ImageRefusedError: naming what is wrong with it.
    """
    try:
        with open_image(source) as image:
            _check_header(image, max_pixels)
            width, height = upright(image).size
    except (ImageRefusedError, MemoryError):
        raise
    except Exception as error:  # decoders raise anything for a damaged file
        raise _refusal(source, error) from error
    return width, height


def _check_header(image: Any, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        raise ImageRefusedError(f"an image has more than {max_pixels:,} pixels (`images.max_pixels`)")
    if image.mode not in MODES:
        raise ImageRefusedError(
            f"an image is of the mode {image.mode}, which cannot be shown in RGB as it is: convert it to RGB"
        )
    if image.format not in STILLS and getattr(image, "n_frames", 1) > 1:
        raise ImageRefusedError("an image is animated, or holds several pages")


def _refusal(source: IO[bytes], error: Exception) -> ImageRefusedError:
    """Say what is broken; what the decoder said goes to its own place, for it is another for every file."""
    from PIL import UnidentifiedImageError

    source.seek(0)
    if not source.read(1):
        return ImageRefusedError("an image is empty: 0 bytes")
    if isinstance(error, UnidentifiedImageError):
        return ImageRefusedError("an image is none that can be opened: no picture, or its beginning is damaged")
    refusal = ImageRefusedError("an image is damaged or cut off: not all of it can be decoded")
    refusal.detail = f" ({type(error).__name__}: {error})"
    return refusal
