"""Lines that another process appends to a file."""

from pathlib import Path

PLACEMENT = "It reads what other processes report."


def appended_lines(path: Path, offset: int) -> tuple[list[bytes], int]:
    """Read the complete lines of a file from an offset on.

    A file that is shorter than the offset is read from its start: it was truncated to the lines up to a checkpoint.

    Returns:
        The lines, and the offset of the next line; no lines if the file does not exist.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        if path.stat().st_size < offset:
            offset = 0
        file.seek(offset)
        content = file.read()
    whole = content[: content.rfind(b"\n") + 1]
    return whole.splitlines(), offset + len(whole)


class Tail:
    """Reader of the lines that are appended to a file; an incomplete last line is returned once it is complete."""

    def __init__(self, path: Path, from_end: bool = False) -> None:
        self._path = path
        self._offset = path.stat().st_size if from_end and path.exists() else 0

    def lines(self) -> list[bytes]:
        """Read the lines that are new since the last call."""
        lines, self._offset = appended_lines(self._path, self._offset)
        return lines
