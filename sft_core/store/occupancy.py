"""Who is at work in a home: each process holds a file of its own there, which the kernel lets go of when it ends.

<root>/locks/at-work/<pid>-….lock     locked as long as the process lives; its time is when the process came
"""

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

PLACEMENT = "It says which processes use a home."
_FOLDER = Path("locks") / "at-work"
_held: dict[Path, int] = {}
"""Root → descriptor, for the life of this process."""


def announce(root: Path) -> None:
    """Say, until this process ends, that it is at work in a home."""
    if root in _held:
        return
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, unlocked = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=folder)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    Path(unlocked).rename(f"{unlocked}.lock")  # none of this name is ever seen that its process has not locked yet
    _held[root] = descriptor


def at_work_since(root: Path) -> float | None:
    """When the first of those came that are still at work in a home, in seconds since 1970; None if nobody is. What
    dead ones left is removed."""
    times = []
    for file in (root / _FOLDER).glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            came = file.stat().st_mtime
            if _is_held(file):
                times.append(came)
            else:
                file.unlink()
    return min(times, default=None)


def _is_held(file: Path) -> bool:
    with file.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
