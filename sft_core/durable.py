"""Files that are on the disk when the call returns, not only in the memory of the machine."""

import os
from pathlib import Path

PLACEMENT = "It brings files to the disk as they are."


def flush(path: Path) -> None:
    """Bring a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a whole file, and bring it to the disk."""
    path.write_bytes(content)
    flush(path)
