"""Error for an image that cannot be used; its row is rejected for the same reason."""


class ImageRefusedError(Exception):
    """Raised if one image cannot be used; the message is a reason that many rows can share."""

    image = ""
    """Position of the image among the row's images, and its name."""
    detail = ""
    """Message of the image decoder in brackets, if there is one."""
