"""The processes of a stack, identified by an environment variable that their descendants inherit.

A process is inspected and signalled through one descriptor (pidfd_open(2)), so that a process id that the kernel has
reused in the meantime is never signalled.
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
"""Text in the command line of a flow run's own process. Processes that a flow starts inherit its environment, but not
its command line."""
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Marked:
    """A running process of a stack."""

    pid: int
    environment: dict[str, str]
    command: str

    @property
    def part(self) -> str:
        """Name of the stack's part that started it, directly or indirectly."""
        return self.environment.get(PART_VARIABLE, "")

    @property
    def is_flow_run(self) -> bool:
        """True for a flow run's own process, which shuts down cleanly when it gets SIGTERM."""
        return "PREFECT__FLOW_RUN_ID" in self.environment and ENGINE in self.command


def marked(token: str) -> list[Marked]:
    """List all running processes of a stack except this one."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [found for pid in pids if pid != os.getpid() and (found := _read(pid, token))]


def tell(processes: list[Marked], number: int, token: str) -> None:
    """Send a signal to each process that still runs and belongs to the stack."""
    for process in processes:
        with contextlib.suppress(OSError), _descriptor(process.pid) as descriptor:
            if _read(process.pid, token):
                signal.pidfd_send_signal(descriptor, number)


def tell_owner(owner: dict[str, str], number: int) -> bool:
    """Send a signal to a process, if the process with this id is still the one that was described.

    Args:
        owner: Description of the process, as returned by `tasks.processes.owners.owner_tags`.
        number: Number of the signal.

    Returns:
        True if the signal was sent.
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
    """Ask all flow runs to end with SIGTERM, wait for them, and kill those that take too long.

    A worker that gets SIGTERM gives its flow runs 30 seconds, which is too little for a large model's checkpoint. So
    flow runs are asked to end before the worker is.

    Args:
        token: Token of the stack.
        seconds: Maximum time that flow runs may take.
        is_hurried: Called repeatedly; if it returns True, flow runs are killed at once.
        say: Called with each progress message.
    """
    asked: set[int] = set()
    deadline = time.monotonic() + seconds
    while runs := [one for one in marked(token) if one.is_flow_run]:
        new = [run for run in runs if run.pid not in asked]
        if new:
            say(f"flow runs that are asked to end: {len(new)}; training saves a checkpoint")
            tell(new, signal.SIGTERM, token)
            asked |= {run.pid for run in new}
        if is_hurried() or time.monotonic() > deadline:
            say(f"flow runs that are ended at once: {len(runs)}")
            tell(runs, signal.SIGKILL, token)
            return
        time.sleep(POLL_SECONDS)


def end_all(token: str, seconds_to_save: float) -> None:
    """End all processes that are left of a stack: flow runs first, with time to save, then all others.

    Args:
        token: Token of the stack.
        seconds_to_save: Maximum time that flow runs may take.
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
    """Read a process; None if it does not belong to the stack, or has ended."""
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
