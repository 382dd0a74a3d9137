"""Check that an image can be shown: first its header, then all of its pixels, decoded in the same way as in a batch."""

from typing import IO, Any

from sft_core.data.images.refusal import ImageRefusedError
from sft_core.store.image_store import open_image, upright

MODES = frozenset(("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "YCbCr"))
"""Modes of Pillow that can be shown in RGB as they are (transparency is dropped, as image processors do). CMYK is
excluded, because its colours depend on a profile. Numbers of 16 bits or more (`I;16`, `I`, `F`) are excluded, because
they would be cut off at 255."""
STILLS = frozenset(("MPO",))
"""Formats that count as one picture although a file has several. An MPO is a JPEG with further pictures of the same
scene, for depth or brightness; every program shows its first."""

Size = tuple[int, int]
"""(width, height) in pixels."""


def check_image(source: IO[bytes], max_pixels: int) -> Size:
    """Open and decode an image.

    Args:
        source: Stream of its bytes.
        max_pixels: Largest accepted number of pixels, according to its header.

    Returns:
        Its size in upright orientation.

    Raises:
        ImageRefusedError: if it cannot be used; the message names the reason.
    """
    try:
        with open_image(source) as image:
            _check_header(image, max_pixels)
            width, height = upright(image).size
    except (ImageRefusedError, MemoryError):
        raise
    except Exception as error:  # decoders may raise any exception for a damaged file
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
    """Name what is broken. The decoder's message differs from file to file and therefore goes into `detail`."""
    from PIL import UnidentifiedImageError

    source.seek(0)
    if not source.read(1):
        return ImageRefusedError("an image is empty: 0 bytes")
    if isinstance(error, UnidentifiedImageError):
        return ImageRefusedError("an image is none that can be opened: no picture, or its beginning is damaged")
    refusal = ImageRefusedError("an image is damaged or cut off: not all of it can be decoded")
    refusal.detail = f" ({type(error).__name__}: {error})"
    return refusal
