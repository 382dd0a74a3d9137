"""Files of images, good and bad."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 40, 30


def colours(height: int = HEIGHT, width: int = WIDTH) -> Image.Image:
    """Noise, which no format makes much smaller."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def written(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int = WIDTH, height: int = HEIGHT) -> bytes:
    return written(colours(height, width))


def turned() -> bytes:
    """A JPEG that is stored on its side: 40 × 30 are 30 × 40 to look at."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return written(colours(), "JPEG", exif=exif)


def bomb(width: int = 50_000, height: int = 50_000) -> bytes:
    """A PNG of which only the header is there; pixels would take 7.5 GB."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(bytes(1000)), b"IEND"]
    body = b"".join(
        struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def animated(kind: str) -> bytes:
    frames = [colours(), colours().rotate(180)]
    return written(frames[0], kind, save_all=True, append_images=frames[1:])


def grey_of_16_bits() -> bytes:
    return written(Image.fromarray(np.arange(1200, dtype=np.uint16).reshape(30, 40) * 50))


def floats() -> bytes:
    return written(Image.fromarray(np.linspace(0, 1, 1200, dtype=np.float32).reshape(30, 40)), "TIFF")


DAMAGED = "an image is damaged or cut off: not all of it can be decoded"
UNKNOWN = "an image is none that can be opened: no picture, or its beginning is damaged"
ANIMATED = "an image is animated, or holds several pages"
BAD: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "an image is empty: 0 bytes"),
    "text": (b"<html>404 Not Found</html>", UNKNOWN),
    "zeros": (bytes(5000), UNKNOWN),
    "drawing": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n", UNKNOWN),
    "cut png": (png()[:-400], DAMAGED),
    "cut jpeg": (written(colours(), "JPEG")[:-200], DAMAGED),
    "cut webp": (written(colours(), "WEBP", lossless=True)[:-100], DAMAGED),
    "header alone": (png()[:20], DAMAGED),
    "wrong pixels": (png()[:60] + bytes(300) + png()[360:], DAMAGED),
    "bomb": (bomb(), "an image has more than 100,000,000 pixels (`images.max_pixels`)"),
    "gif": (animated("GIF"), ANIMATED),
    "apng": (animated("PNG"), ANIMATED),
    "webp": (animated("WEBP"), ANIMATED),
    "pages": (animated("TIFF"), ANIMATED),
    "cmyk": (
        written(colours().convert("CMYK"), "JPEG"),
        "an image is of the mode CMYK, which cannot be shown in RGB as it is: convert it to RGB",
    ),
    "16 bits": (
        grey_of_16_bits(),
        "an image is of the mode I;16, which cannot be shown in RGB as it is: convert it to RGB",
    ),
    "floats": (floats(), "an image is of the mode F, which cannot be shown in RGB as it is: convert it to RGB"),
}
"""Kind → bytes, and the reason of the refusal."""
GOOD: dict[str, tuple[bytes, tuple[int, int]]] = {
    "png": (png(), (WIDTH, HEIGHT)),
    "jpeg": (written(colours(), "JPEG"), (WIDTH, HEIGHT)),
    "webp": (written(colours(), "WEBP"), (WIDTH, HEIGHT)),
    "bmp": (written(colours(), "BMP"), (WIDTH, HEIGHT)),
    "tiff": (written(colours(), "TIFF"), (WIDTH, HEIGHT)),
    "gif of one": (written(colours().convert("P"), "GIF"), (WIDTH, HEIGHT)),
    "avif": (written(colours(), "AVIF"), (WIDTH, HEIGHT)),
    "grey": (written(colours().convert("L")), (WIDTH, HEIGHT)),
    "black and white": (written(colours().convert("1")), (WIDTH, HEIGHT)),
    "transparent": (written(colours().convert("RGBA")), (WIDTH, HEIGHT)),
    "palette": (written(colours().convert("P")), (WIDTH, HEIGHT)),
    "turned": (turned(), (HEIGHT, WIDTH)),
    "of two cameras": (written(colours(), "MPO", save_all=True, append_images=[colours()]), (WIDTH, HEIGHT)),
    "one pixel": (png(1, 1), (1, 1)),
}
"""Kind → bytes, and (width, height)."""
