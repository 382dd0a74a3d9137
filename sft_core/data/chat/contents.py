"""A content is a text, or a list of parts: `[{"type": "image"}, {"type": "text", "text": "What is it?"}]`."""

from typing import Any


def in_parts(content: Any) -> Any:
    """A text as one part."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def words_said(content: Any) -> str | None:
    """The text of a content, without its images; None if it is neither a text nor a list of parts."""
    return flattened(content, "")


def flattened(content: Any, image: str | None) -> str | None:
    """A content as one text.

    Args:
        content: Of a message.
        image: What is put in the place of each image; None where that is not known.

    Returns:
        None if the content has images and `image` is not known, or if it is nothing that can be a text.
    """
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    pieces = [_piece(part, image) for part in content]
    known = [piece for piece in pieces if piece is not None]
    return "".join(known) if len(known) == len(pieces) else None


def has_images(content: Any) -> bool:
    """Whether a content shows an image."""
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") == "image" for part in content)


def _piece(part: Any, image: str | None) -> str | None:
    if isinstance(part, dict):
        if part.get("type") == "image":
            return image
        part = part.get("text")
    return part if isinstance(part, str) else None
