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


def write_whole(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file atomically: no reader ever sees a part of it. If several processes write it at once, one wins.

    Args:
        path: The file; its folder is made if it does not exist.
        content: All of it.
        mode: Permissions of the file, from which the process's umask is subtracted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{uuid4().hex}.partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    partial.replace(path)


def link_or_copy(source: Path | str, target: Path | str) -> None:
    """Make a hard link to a file; on a file system without hard links, copy the file."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
