"""Read the content of a message: a string, or a list of parts such as
`[{"type": "image"}, {"type": "text", "text": "What is it?"}]`.
"""

from typing import Any


def in_parts(content: Any) -> Any:
    """Return a string as a list of one text part; return any other content unchanged."""
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def words_said(content: Any) -> str | None:
    """Return the text of a content without its images; None if it is neither a string nor a list of parts."""
    return flattened(content, "")


def flattened(content: Any, image: str | None) -> str | None:
    """Join a content to one string.

    Args:
        content: The content of a message.
        image: Text to write for each image; None if that is unknown.

    Returns:
        None if the content has images and `image` is None, or if it is neither a string nor a list of parts.
    """
    if not isinstance(content, list):
        return content if isinstance(content, str) else None
    pieces = [_piece(part, image) for part in content]
    known = [piece for piece in pieces if piece is not None]
    return "".join(known) if len(known) == len(pieces) else None


def has_images(content: Any) -> bool:
    """Return True if a content includes an image."""
    return isinstance(content, list) and any(isinstance(part, dict) and part.get("type") == "image" for part in content)


def _piece(part: Any, image: str | None) -> str | None:
    if isinstance(part, dict):
        if part.get("type") == "image":
            return image
        part = part.get("text")
    return part if isinstance(part, str) else None
