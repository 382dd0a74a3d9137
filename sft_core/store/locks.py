"""Locks on files (flock(2)), which the kernel releases when their holder ends, however it ends.

`filelock` has no shared locks, and tries again every 50 ms where the kernel can wake up the process that waits.
"""

import fcntl
import os
from pathlib import Path
from typing import IO

PLACEMENT = "It records who works on what."


def open_lock(path: Path, is_made: bool = True) -> IO[bytes]:
    """Open a lock file that only this user may open; closing it releases the lock.

    Args:
        path: The lock file.
        is_made: Create the file if it is missing; otherwise a missing file raises `FileNotFoundError`.
    """
    return os.fdopen(os.open(path, os.O_RDWR | (os.O_CREAT if is_made else 0), 0o600), "r+b")


def try_lock(file: IO[bytes] | int, kind: int) -> bool:
    """Take a lock (`fcntl.LOCK_SH` or `fcntl.LOCK_EX`) without waiting; return False if another process prevents it."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path, kind: int = fcntl.LOCK_EX) -> bool:
    """Return True if a lock of this kind cannot be taken; False without a lock file."""
    try:
        with open_lock(path, is_made=False) as file:
            return not try_lock(file, kind)
    except FileNotFoundError:
        return False
