"""Progress bars for people, on a terminal only, never where the output is piped; and notices between them."""

import contextlib
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger
from tqdm import tqdm


def tell(notice: str) -> None:
    """Say something while work goes on: on standard error, and in the flow run's log."""
    tqdm.write(f"sft: {notice}", file=sys.stderr)
    with contextlib.suppress(MissingContextError):
        get_run_logger().warning(notice)


class TrainingProgress:
    """A bar over optimizer steps, read from the trainer's metrics."""

    def __init__(self, metrics: Path) -> None:
        self._metrics = metrics
        self._bar: tqdm[Any] = tqdm(desc="training", unit="step", disable=None, leave=False)

    def update(self) -> None:
        """Move the bar to the newest line."""
        if self._bar.disable or not self._metrics.exists():
            return
        lines = self._metrics.read_bytes().splitlines()
        if lines:
            newest = orjson.loads(lines[-1])
            self._bar.total = newest["max_steps"]
            self._bar.n = newest["step"]
            self._bar.set_postfix({name: f"{newest[name]:.3f}" for name in ("loss", "eval_loss") if name in newest})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def shard_progress(stage: str, num_done: int, num_shards: int) -> "tqdm[Any]":
    """A bar over the shards of a stage, to be used as a context; none where nothing is left to do."""
    is_idle = True if num_done == num_shards else None
    return tqdm(desc=stage, initial=num_done, total=num_shards, unit="shard", disable=is_idle, leave=False)
