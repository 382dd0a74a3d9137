"""Both ends of a subprocess: it dies with its parent, and writes next to its plan file how it ended.

There may be a launcher between parent and child. A launcher has its own exit code, prints its own report after the
child's last output, and passes no signal on. So the child writes a file: `mistake.txt` (an error of the user),
`interrupted.txt` (it was asked to end), or `failure.txt` (a traceback; if several processes fail, the traceback of the
first, since the others fail because of it). A child that can be asked to end also records its process id.

Linux only: `prctl(PR_SET_PDEATHSIG)` asks the kernel for a signal when the parent ends, however it ends. The setting
is not inherited, so each process in the chain sets it for itself.
"""

import contextlib
import ctypes
import functools
import importlib
import os
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Mapping
from pathlib import Path

from sft_core.errors import StageInterruptedError, UserError
from sft_core.processes.garbage import uncollected

PLACEMENT = "It starts and ends processes, and reports how they ended."
CHECKOUT = Path(__file__).parents[2]
"""Folder of this project's packages."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
MISTAKE_FILE = "mistake.txt"
INTERRUPTED_FILE = "interrupted.txt"
FAILURE_FILE = "failure.txt"
LISTENING_FOLDER = "listening"
EXIT_FAILURE, EXIT_INTERRUPTED = 1, 75
"""Exit codes of a child process. 75 is EX_TEMPFAIL of sysexits.h: try again."""


def python_path(environment: Mapping[str, str]) -> str:
    """Return an environment's `PYTHONPATH`, extended so that a child imports this code from any working directory."""
    return os.pathsep.join(part for part in (str(CHECKOUT), environment.get("PYTHONPATH", "")) if part)


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when its parent ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() == 1:  # the parent was gone before the kernel was asked
        os.kill(os.getpid(), number)


@functools.cache
def end_with_parent() -> None:
    """Send this process one SIGTERM when its parent has ended, so that it can save its work before it ends.

    The kernel's own signal can come repeatedly: if the killed parent had several threads, it may come once for each
    thread that ends. A process that gets a second SIGTERM no longer saves anything.
    """
    parent = os.pidfd_open(os.getppid())
    threading.Thread(target=_end_after, args=(parent,), name="end-with-parent", daemon=True).start()


def _end_after(process: int) -> None:
    ended = select.poll()
    ended.register(process, select.POLLIN)
    ended.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def run_child(module: str) -> None:
    """Run the work of `python -m <package> <plan.json>`, and write how it ended to a file next to the plan.

    A failure is also printed to stderr, and so reaches the log. The exit code is 1 after a failure and 75 after an
    interruption.

    Args:
        module: Name of the module whose function `main` does the work. It is imported here, which may fail, and takes
            seconds if it needs torch. Callers write it as a string literal, so that its code counts in cache keys.
    """
    die_with_parent()
    plan = Path(sys.argv[1])
    try:
        program = uncollected(lambda: importlib.import_module(module))
        program.main(plan)
    except UserError as error:
        _leave_word(plan, MISTAKE_FILE, str(error))
    except StageInterruptedError as error:
        _leave_word(plan, INTERRUPTED_FILE, str(error))
        sys.exit(EXIT_INTERRUPTED)
    except Exception:
        _leave_word(plan, FAILURE_FILE, traceback.format_exc())
    else:
        return
    sys.exit(EXIT_FAILURE)


def _leave_word(plan: Path, name: str, text: str) -> None:
    traceback.print_exc()
    with contextlib.suppress(FileExistsError), (plan.parent / name).open("x", encoding="utf-8") as file:
        file.write(text)


def forget_endings(folder: Path) -> None:
    """Remove the files in which earlier children with the same plan wrote how they ended."""
    for name in (MISTAKE_FILE, INTERRUPTED_FILE, FAILURE_FILE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / LISTENING_FOLDER, ignore_errors=True)


class EndRequest:
    """Handler of a SIGTERM that does not end the process at once, but at the next point from which it can be resumed.

    A second SIGTERM ends the process immediately.
    """

    def __init__(self) -> None:
        self.is_made = False

    def listen(self, folder: Path) -> None:
        """Install the handler, and record the id of this process and the name of its host.

        Args:
            folder: Folder of the plan, in which the parent looks for processes that handle SIGTERM.
        """
        signal.signal(signal.SIGTERM, self._hear)
        (folder / LISTENING_FOLDER).mkdir(exist_ok=True)
        (folder / LISTENING_FOLDER / f"{os.getpid()}@{socket.gethostname()}").touch()

    def _hear(self, number: int, frame: object) -> None:
        self.is_made = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def request_end(folder: Path) -> bool:
    """Ask the processes of this machine that handle SIGTERM to end where they can be resumed.

    Processes on other machines are informed by these processes.

    Returns:
        True if there are any such processes on this machine.
    """
    pids = [int(file.name.split("@")[0]) for file in (folder / LISTENING_FOLDER).glob(f"*@{socket.gethostname()}")]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return bool(pids)
