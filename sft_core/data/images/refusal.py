"""How an image is refused, and with it its row."""


class ImageRefusedError(Exception):
    """This one image cannot be used; the message is a reason that many rows can share."""

    image = ""
    """Which of the row's it is, and what it is called."""
    detail = ""
    """What its decoder said, in brackets."""
