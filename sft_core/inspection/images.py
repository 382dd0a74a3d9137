"""Images on a page: a thumbnail of each, with its size and its number of tokens."""

from collections.abc import Sequence

from sft_core.inspection.markup import count, escaped
from sft_core.inspection.thumbnails import Thumbnails
from sft_core.store.image_store import ImageRef

MAX_A_ROW = 8


def figures_of_images(images: Sequence[tuple[ImageRef, int | None]], thumbnails: Thumbnails | None) -> str:
    """Build the HTML for the images of a row.

    Args:
        images: Each image with its number of tokens, or None where that is not known.
        thumbnails: Source of the thumbnails; with None, only size and digest are shown.
    """
    shown = "".join(_figure(image, num_tokens, thumbnails) for image, num_tokens in images[:MAX_A_ROW])
    more = len(images) - MAX_A_ROW
    rest = f'<span class="gap">… {count(more)} more images</span>' if more > 0 else ""
    return f'<div class="images">{shown}{rest}</div>' if images else ""


def _figure(image: ImageRef, num_tokens: int | None, thumbnails: Thumbnails | None) -> str:
    url = thumbnails.url(image) if thumbnails else None
    size = f"{image.width}×{image.height}"
    picture = f'<img src="{url}" alt="{size}">' if url else '<span class="noimage"></span>'
    takes = "" if num_tokens is None else f" · {count(num_tokens)} tokens"
    return (
        f'<figure title="{escaped(image.digest)}">{picture}<figcaption>{size}{takes}<br>'
        f"<code>{escaped(image.digest[:8])}…</code></figcaption></figure>"
    )
