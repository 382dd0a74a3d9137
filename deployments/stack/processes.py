"""The processes of a stack, told from all others by their environment, which their descendants inherit.

A process is looked at and signalled through one descriptor (pidfd_open(2)), so a number that the kernel gave to another
meanwhile is never signalled.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tasks.processes.owners import why_dead

TOKEN_VARIABLE = "SFT_STACK_TOKEN"
PART_VARIABLE = "SFT_STACK_PART"
ENGINE = "prefect.engine"
"""In the command of a flow run's own process; what a flow starts inherits its environment, not its command."""
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Marked:
    """A living process of a stack."""

    pid: int
    environment: dict[str, str]
    command: str

    @property
    def part(self) -> str:
        """The part that it descends from."""
        return self.environment.get(PART_VARIABLE, "")

    @property
    def is_flow_run(self) -> bool:
        """Whether it is a flow run's own process; one that ends in good order when it gets SIGTERM."""
        return "PREFECT__FLOW_RUN_ID" in self.environment and ENGINE in self.command


def marked(token: str) -> list[Marked]:
    """All living processes of a stack but this one."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [found for pid in pids if pid != os.getpid() and (found := _read(pid, token))]


def tell(processes: list[Marked], number: int, token: str) -> None:
    """Send a signal to each that still is what it was."""
    for process in processes:
        with contextlib.suppress(OSError), _descriptor(process.pid) as descriptor:
            if _read(process.pid, token):
                signal.pidfd_send_signal(descriptor, number)


def tell_owner(owner: dict[str, str], number: int) -> bool:
    """Send a signal to the process that a description names, if it still is that one; return whether it is.

    Args:
        owner: As `tasks.processes.owners.owner_tags` describes it.
        number: The signal.
    """
    try:
        with _descriptor(int(owner["sft.pid"])) as descriptor:
            if why_dead(owner, time.time()) is not None:
                return False
            signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return False
    return True


def end_flow_runs(
    token: str, seconds: float, is_hurried: Callable[[], bool], say: Callable[[str], None] = lambda _: None
) -> None:
    """Ask all flow runs to end, wait until they have, and make those that take too long.

    A worker that gets SIGTERM itself gives its runs 30 seconds, too little for a large model's checkpoint; so they are
    asked before it is.

    Args:
        token: The stack's.
        seconds: How long they may take.
        is_hurried: Asked all the time: whether they are to be ended at once.
        say: Gets what happens, in words.
    """
    told: set[int] = set()
    deadline = time.monotonic() + seconds
    while runs := [one for one in marked(token) if one.is_flow_run]:
        new = [run for run in runs if run.pid not in told]
        if new:
            say(f"flow runs that are asked to end: {len(new)}; training saves a checkpoint")
            tell(new, signal.SIGTERM, token)
            told |= {run.pid for run in new}
        if is_hurried() or time.monotonic() > deadline:
            say(f"flow runs that are ended at once: {len(runs)}")
            tell(runs, signal.SIGKILL, token)
            return
        time.sleep(POLL_SECONDS)


def end_all(token: str, seconds_to_save: float) -> None:
    """End what is left of a stack: flow runs in good order, then all else.

    Args:
        token: The stack's.
        seconds_to_save: How long flow runs may take.
    """
    end_flow_runs(token, seconds_to_save, lambda: False)
    for number, seconds in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        deadline = time.monotonic() + seconds
        tell(marked(token), number, token)
        while marked(token) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)


@contextlib.contextmanager
def _descriptor(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(pid: int, token: str) -> Marked | None:
    """None if it is none of the stack's, or no process any more."""
    folder = Path("/proc") / str(pid)
    try:
        variables = (folder / "environ").read_bytes()
        if f"{TOKEN_VARIABLE}={token}\0".encode() not in variables:
            return None
        command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return None
    pairs = (line.partition("=") for line in variables.decode(errors="replace").split("\0") if "=" in line)
    return Marked(pid, {name: value for name, _, value in pairs}, command)
