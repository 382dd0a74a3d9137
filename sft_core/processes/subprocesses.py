"""Both ends of a subprocess of ours: it dies with its parent, and leaves word beside its plan of how it ended.

A launcher may stand between the two: it answers with an exit code of its own, prints a report of its own behind the
child's last words, and passes no signal on. So the child writes a file: `mistake.txt` (of the user), `interrupted.txt`
(it was asked to end), or `failure.txt` (the traceback; of several processes that of the first to fail, the others fail
because it did). And a child that can be asked to end writes down the id of its process.

Linux only: `prctl(PR_SET_PDEATHSIG)` asks the kernel for a signal when the parent ends, however it ends. The setting
is not inherited, so each process in the chain asks for itself.
"""

import contextlib
import ctypes
import functools
import os
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from sft_core.errors import StageInterruptedError, UserError
from sft_core.processes.garbage import uncollected

PLACEMENT = "It starts and ends processes, and says how they ended."
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
MISTAKE_FILE = "mistake.txt"
INTERRUPTED_FILE = "interrupted.txt"
FAILURE_FILE = "failure.txt"
LISTENING_FOLDER = "listening"
EXIT_FAILURE, EXIT_INTERRUPTED = 1, 75
"""75 is EX_TEMPFAIL of sysexits.h: try again."""


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel end this process, by this signal, when its parent ends."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() == 1:  # the parent was gone before the kernel was asked
        os.kill(os.getpid(), number)


@functools.cache
def end_with_parent() -> None:
    """Let this process ask itself to end (SIGTERM), once, when its parent has ended, so that it can end in order.

    The kernel would ask again and again: of a killed parent with threads, once for each that goes before the last. And
    whoever is asked a second time saves nothing any more.
    """
    parent = os.pidfd_open(os.getppid())
    threading.Thread(target=_end_after, args=(parent,), name="end-with-parent", daemon=True).start()


def _end_after(process: int) -> None:
    ended = select.poll()
    ended.register(process, select.POLLIN)
    ended.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def run_child(load: Callable[[], Callable[[Path], None]]) -> None:
    """Run the body of `python -m <room> <plan.json>`, and leave word of how it ended. The log gets it too.

    Args:
        load: Imports the body, which takes seconds where torch is among what it needs, and gives it back.
    """
    die_with_parent()
    plan = Path(sys.argv[1])
    try:
        work = uncollected(load)
        work(plan)
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
    """Remove what earlier children left beside their plan."""
    for name in (MISTAKE_FILE, INTERRUPTED_FILE, FAILURE_FILE):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / LISTENING_FOLDER, ignore_errors=True)


class EndRequest:
    """A SIGTERM that is not obeyed at once: the process ends where it can be gone on with.

    A second one ends the process as if nobody listened.
    """

    def __init__(self) -> None:
        self.is_made = False

    def listen(self, folder: Path) -> None:
        """Begin to listen, and say so.

        Args:
            folder: Of the plan, where the parent looks for processes that listen.
        """
        signal.signal(signal.SIGTERM, self._hear)
        (folder / LISTENING_FOLDER).mkdir(exist_ok=True)
        (folder / LISTENING_FOLDER / f"{os.getpid()}@{socket.gethostname()}").touch()

    def _hear(self, number: int, frame: object) -> None:
        self.is_made = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def request_end(folder: Path) -> bool:
    """Ask the processes of this machine that listen to end where they can be gone on with; return whether there are
    any. Those of other machines hear of it from them."""
    pids = [int(file.name.split("@")[0]) for file in (folder / LISTENING_FOLDER).glob(f"*@{socket.gethostname()}")]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return bool(pids)
