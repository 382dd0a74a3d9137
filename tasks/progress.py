"""Progress for people: bars on a terminal, never where the output is piped, and notices between them; of an evaluation
also on the flow run's page in Prefect."""

import contextlib
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import httpx
import orjson
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import MissingContextError, PrefectException
from prefect.logging import get_run_logger
from tqdm import tqdm

SECONDS_A_MESSAGE = 5.0
"""Between two messages to Prefect, each of which costs a call."""


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


class EvaluationProgress:
    """A bar over batches of blocks and answers, read from the evaluator's `progress.jsonl`, and the same as a progress
    artifact `evaluation-progress`, which tells of the model that is measured."""

    def __init__(self, lines: Path) -> None:
        self._lines = lines
        self._bar: tqdm[Any] = tqdm(desc="evaluation", unit="batch or answer", disable=None, leave=False)
        self.percent, self.words = 0.0, ""
        self._artifact: UUID | None = None
        self._sent_at = 0.0

    def update(self) -> None:
        """Tell the newest line."""
        if not self._lines.exists():
            return
        lines = [line for line in self._lines.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        if not lines:
            return
        newest = orjson.loads(lines[-1])
        done, total = newest["batches"] + newest["answers"], newest["of_batches"] + newest["of_answers"]
        self._bar.total, self._bar.n = total, done
        self._bar.set_description(f"evaluation, {newest['model']} model")
        self.percent, self.words = 100.0 * done / total, _in_words(newest)
        if FlowRunContext.get() is not None and time.monotonic() - self._sent_at >= SECONDS_A_MESSAGE:
            self._sent_at = time.monotonic()
            with contextlib.suppress(PrefectException, httpx.HTTPError):  # no news is no reason to end the work
                self._send()

    def _send(self) -> None:
        if self._artifact is None:
            made = create_progress_artifact(self.percent, key="evaluation-progress", description=self.words)
            assert isinstance(made, UUID), "called outside of an event loop"
            self._artifact = made
        else:
            update_progress_artifact(self._artifact, self.percent, description=self.words)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _in_words(line: dict[str, Any]) -> str:
    parts = [
        f"{line[name]:,} of {line[f'of_{name}']:,} {name}" for name in ("batches", "answers") if line[f"of_{name}"]
    ]
    return f"{line['model']} model: {', '.join(parts)}"


def shard_progress(stage: str, num_done: int, num_shards: int) -> "tqdm[Any]":
    """A bar over the shards of a stage, to be used as a context; none where nothing is left to do."""
    is_idle = True if num_done == num_shards else None
    return tqdm(desc=stage, initial=num_done, total=num_shards, unit="shard", disable=is_idle, leave=False)
