"""How long a stage may take: `runtime.stage_timeouts`.

The limit is the kernel's alarm clock, which interrupts whatever the main thread does, a wait for a subprocess, for
worker processes, for MLflow, or work of its own: so what ends a stage is the same as if somebody had asked it to end.
Signals reach the main thread alone, where every stage runs (see `tasks.processes.launching`). Prefect's own
`timeout_seconds` is not enforced for work in threads, and knows nothing of a checkpoint to be saved.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from sft_core.errors import StageTimeoutError

PLACEMENT = "It decides how long work may take."


@contextmanager
def clock_stopped() -> Iterator[None]:
    """Wait for something in a block that a limit around it does not count."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, left)


@contextmanager
def time_limit(stage: str, seconds: float | None) -> Iterator[None]:
    """End a block that takes longer.

    Args:
        stage: Whose work it is, for people.
        seconds: The limit; None: there is none.

    Raises:
        StageTimeoutError: inside of the block, wherever it is at work then.
    """
    if seconds is None:
        yield
        return

    def end(number: int, frame: object) -> None:
        raise StageTimeoutError(
            f"{stage} took longer than runtime.stage_timeouts.{stage} allows ({seconds:g} s). What was done is kept: "
            "the same command goes on from there, with the same limit or a longer one"
        )

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
