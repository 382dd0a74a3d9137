"""Time limits of stages: `runtime.stage_timeouts`.

The limit is a kernel timer (SIGALRM), which interrupts whatever the main thread does: its own work, or a wait for a
subprocess, for worker processes or for MLflow. So a timeout ends a stage in the same way as a request to end it.
Signals reach only the main thread, where every stage runs (see `tasks.processes.launching`). Prefect's own
`timeout_seconds` is not enforced for work in threads, and would not let a checkpoint be saved.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sft_core.errors import StageTimeoutError

PLACEMENT = "It decides how long work may take."


@contextmanager
def clock_stopped() -> Iterator[None]:
    """Pause the time limit around a block while the block runs."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


@contextmanager
def time_limit(stage: str, seconds: float | None) -> Iterator[None]:
    """Interrupt a block that takes longer than a limit.

    Args:
        stage: The stage's name, for the error message.
        seconds: The limit in seconds; None sets no limit.

    Raises:
        StageTimeoutError: raised inside the block, at whatever it is doing when the time is up.
    """
    if seconds is None:
        yield
        return

    def end(number: int, frame: object) -> None:
        raise StageTimeoutError(
            f"{stage} took longer than runtime.stage_timeouts.{stage} allows ({seconds:g} s). What was done is kept: "
            "the same command resumes from there, with the same limit or a longer one"
        )

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
