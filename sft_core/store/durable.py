"""Writing of files that are on the disk when the call returns, and not only in the page cache."""

import os
import shutil
from pathlib import Path
from uuid import uuid4

PLACEMENT = "It writes files to the disk unchanged."


def flush(path: Path) -> None:
    """Flush a file, or the entries of a folder, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file, and flush it to the disk."""
    path.write_bytes(content)
    flush(path)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically: no reader ever sees a part of it. If several processes write it at once, one wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid4().hex}.partial")
    partial.write_bytes(content)
    partial.replace(path)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Make a hard link to a file; on a file system without hard links, copy the file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
