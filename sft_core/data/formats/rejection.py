"""Error for a row that cannot be used."""


class RowRejectedError(Exception):
    """Raised if one row cannot be used; the message is a reason that many rows can share."""
