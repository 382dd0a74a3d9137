"""Record of the processes that use a state directory: each locks its own file, and the kernel unlocks it at its end.

<root>/locks/at-work/<pid>-….lock     locked as long as the process lives; its modification time is the start of its use
"""

import contextlib
import fcntl
import os
import tempfile
from pathlib import Path

from sft_core.store.locks import is_locked

PLACEMENT = "It records which processes use a state directory."
_FOLDER = Path("locks") / "at-work"
_held: dict[Path, int] = {}
"""Root → descriptor of the locked file, which stays open for the life of this process."""


def announce(root: Path) -> None:
    """Record that this process uses a state directory, until the process ends."""
    if root in _held:
        return
    folder = root / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, unlocked = tempfile.mkstemp(prefix=f"{os.getpid()}-", dir=folder)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    Path(unlocked).rename(f"{unlocked}.lock")  # after locking: nobody sees it unlocked
    _held[root] = descriptor


def at_work_since(root: Path) -> float | None:
    """Return when the earliest process that still uses a state directory began; None if no process uses it.

    The time is in seconds since 1970. Files of processes that have ended are removed.
    """
    times = []
    for file in (root / _FOLDER).glob("*.lock"):
        with contextlib.suppress(FileNotFoundError):
            began = file.stat().st_mtime
            if is_locked(file):
                times.append(began)
            else:
                file.unlink()
    return min(times, default=None)
