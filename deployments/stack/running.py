"""One part of a stack while it runs: its process, its log, its health and its restarts."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from deployments.stack.processes import PART_VARIABLE, TOKEN_VARIABLE
from deployments.stack.services import Service
from deployments.stack.state import Health, StackPart
from sft_core.processes.subprocesses import CHECKOUT, die_with_parent
from sft_core.processes.waiting import wait_until

LAST_LINES = 25
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0
SECONDS_OF_A_GOOD_START = 120.0
"""A part that ran for at least this long is restarted after the shortest pause."""
SECONDS_BETWEEN_CHECKS, SECONDS_BETWEEN_FIRST_CHECKS = 10.0, 0.4


@dataclass
class RunningPart:
    """State of a part, from before its start until its end."""

    service: Service
    token: str
    log: Path
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    is_healthy: bool = False
    is_done: bool = False
    num_restarts: int = 0
    may_start_at: float = 0.0
    _pause: float = field(default=FIRST_PAUSE_SECONDS)
    _checked_at: float = 0.0

    def start(self) -> None:
        """Start the part's process in a process group of its own; it gets SIGTERM when this process ends."""
        environment = {**self.service.environment, TOKEN_VARIABLE: self.token, PART_VARIABLE: self.service.name}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.service.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=CHECKOUT,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, signal.SIGTERM),
            )
        self.started_at, self.is_healthy, self._checked_at = time.time(), False, 0.0

    def check(self) -> bool:
        """Check the part's health, if the last check is long enough ago; return True if the health changed."""
        pause = SECONDS_BETWEEN_CHECKS if self.is_healthy else SECONDS_BETWEEN_FIRST_CHECKS
        if self.process is None or time.monotonic() - self._checked_at < pause:
            return False
        before, self.is_healthy = self.is_healthy, self.service.is_healthy(self.started_at)
        self._checked_at = time.monotonic()
        return before != self.is_healthy

    @property
    def exit_code(self) -> int | None:
        """Exit code of the process; None while it runs, and before its start."""
        return self.process.poll() if self.process else None

    @property
    def pid(self) -> int | None:
        """Id of the process while it runs."""
        return self.process.pid if self.process and self.process.poll() is None else None

    def plan_restart(self) -> float:
        """Reset the part after its process ended; return the pause before its next start in seconds.

        The pause doubles each time, up to 60 s.
        """
        if not self._is_young():
            self._pause = FIRST_PAUSE_SECONDS
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        self.process, self.is_healthy = None, False
        self.num_restarts += 1
        self.may_start_at = time.time() + pause
        return pause

    def last_words(self) -> str:
        """Return the last 25 lines of the part's log, indented."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-LAST_LINES:])

    def described(self) -> StackPart:
        """Return the part's description for the state file."""
        return StackPart(
            name=self.service.name,
            log=str(self.log),
            health=self._health(),
            pid=self.pid,
            num_restarts=self.num_restarts,
        )

    def _health(self) -> Health:
        if self.is_done:
            return "done" if self.service.is_task else "ended"
        if self.process is None:
            return "restarting" if self.num_restarts else "waiting"
        if self.is_healthy:
            return "healthy"
        return "ended" if self.pid is None else "starting" if self._is_young() else "not answering"

    def _is_young(self) -> bool:
        return time.time() - self.started_at < SECONDS_OF_A_GOOD_START


def end_parts(parts: list[RunningPart]) -> None:
    """Send SIGTERM to the process groups of some parts, wait, and send SIGKILL to those that still run."""
    seconds = max((part.service.seconds_to_end for part in parts if part.pid), default=0.0)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in [part.pid for part in parts if part.pid]:
            os.killpg(pid, number)
        wait_until(lambda: not any(part.pid for part in parts), seconds, 0.05)
