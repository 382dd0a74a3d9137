"""Both ends of a subprocess of ours: it dies with its parent, and tells a mistake of the user from a failure of ours.

Linux only: `prctl(PR_SET_PDEATHSIG)` asks the kernel for a signal when the parent ends, however it ends. The setting
is not inherited, so each process in the chain asks for itself.
"""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from sft_core.errors import UserError

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
MISTAKE_FILE = "mistake.txt"


def die_with_parent() -> None:
    """Let the kernel end this process when its parent ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the parent was gone before the kernel was asked
        os.kill(os.getpid(), signal.SIGKILL)


def run_child(work: Callable[[Path], None]) -> None:
    """Run the body of `python -m <room> <plan.json>`.

    A `UserError` is written to `mistake.txt` beside the plan, for the parent to raise again; every other error is
    printed in full, for the log.
    """
    die_with_parent()
    plan = Path(sys.argv[1])
    try:
        work(plan)
    except UserError as error:
        (plan.parent / MISTAKE_FILE).write_text(str(error), encoding="utf-8")
        traceback.print_exc()
        sys.exit(1)
