"""How a row is refused."""


class RowRejectedError(Exception):
    """This one row cannot be used; the message is a reason that many rows can share."""
