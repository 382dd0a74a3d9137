"""The processes of a stack, identified by an environment variable that their descendants inherit.

Before psutil sends a signal, it compares the start time of the process, so that a process id that the kernel has reused
in the meantime is never signalled.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from sft_core.processes.waiting import wait_until
from tasks.processes.owners import is_local, why_dead

TOKEN_VARIABLE = "SFT_STACK_TOKEN"
PART_VARIABLE = "SFT_STACK_PART"
ENGINE = "prefect.engine"
"""Text in the command line of a flow run's own process. Processes that a flow starts inherit its environment, but not
its command line."""
POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Marked:
    """A running process of a stack."""

    process: psutil.Process
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
    return [
        Marked(process, environment, " ".join(process.info["cmdline"] or ()))
        for process in psutil.process_iter(["environ", "cmdline"])
        if (environment := process.info["environ"] or {}).get(TOKEN_VARIABLE) == token and process.pid != os.getpid()
    ]


def is_marked(pid: int, token: str) -> bool:
    """Return True if a process runs and belongs to the stack."""
    with contextlib.suppress(psutil.Error):
        return bool(psutil.Process(pid).environ().get(TOKEN_VARIABLE) == token)
    return False


def tell(processes: list[Marked], number: int) -> None:
    """Send a signal to each process that still runs."""
    for one in processes:
        with contextlib.suppress(psutil.Error):
            one.process.send_signal(number)


def tell_owner(owner: dict[str, str], number: int) -> bool:
    """Send a signal to a process of this machine, if the process with this id is still the one that was described.

    Args:
        owner: Description of the process, as returned by `tasks.processes.owners.owner_tags`.
        number: Number of the signal.

    Returns:
        True if the signal was sent.
    """
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(int(owner["sft.pid"]))
        if is_local(owner) and why_dead(owner, time.time()) is None:
            process.send_signal(number)
            return True
    return False


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
    asked: set[psutil.Process] = set()
    deadline = time.monotonic() + seconds
    while runs := [one for one in marked(token) if one.is_flow_run]:
        if new := [run for run in runs if run.process not in asked]:
            say(f"flow runs that are asked to end: {len(new)}; training saves a checkpoint")
            tell(new, signal.SIGTERM)
            asked |= {run.process for run in new}
        if is_hurried() or time.monotonic() > deadline:
            say(f"flow runs that are ended at once: {len(runs)}")
            tell(runs, signal.SIGKILL)
            return
        time.sleep(POLL_SECONDS)


def end_all(token: str, seconds_to_save: float) -> None:
    """End all processes that are left of a stack: flow runs first, with time to save, then all others.

    Args:
        token: Token of the stack.
        seconds_to_save: Maximum time that flow runs may take.
    """
    end_flow_runs(token, seconds_to_save, lambda: False)
    for number in (signal.SIGTERM, signal.SIGKILL):
        tell(marked(token), number)
        wait_until(lambda: not marked(token), 5.0, POLL_SECONDS)
