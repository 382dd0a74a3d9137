"""Files that are on the disk when the call returns, not only in the memory of the machine."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

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


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that nobody sees in part. If several processes write it at once, one of them wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid4().hex}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Give a file a second name; on a file system without links, copy it."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
