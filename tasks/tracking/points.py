"""Forwarding of the lines of `metrics.jsonl` to MLflow as points of a run, each exactly once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from mlflow import MlflowClient
from mlflow.entities import Metric

from tasks.processes.tail import appended_lines

PLACEMENT = "It forwards metrics that the trainer wrote."

BATCH = 500
NOT_METRICS = frozenset({"step", "max_steps", "time"})


class Points:
    """Metrics of one run. A point at or before the last step of its metric was sent before, and is not sent again.

    If a metric has two points at one step, for example after training resumed from a checkpoint, only the first is
    sent. A batch whose response was lost is sent again unchanged, and MLflow keeps each of its points once, because the
    time of a point is taken from its line.
    """

    def __init__(self, client: MlflowClient, run_id: str, last_steps: Mapping[str, int]) -> None:
        """Continue the metrics of a run.

        Args:
            client: Client of the store.
            run_id: Id of the run.
            last_steps: Name of a metric → last step that the run has of it.
        """
        self._client, self._run_id = client, run_id
        self._last_steps = dict(last_steps)
        self._offsets: dict[Path, int] = {}

    def send_lines(self, path: Path) -> None:
        """Send the lines of a file that have not been sent; an incomplete last line is sent by a later call.

        Raises:
            MlflowException: if MLflow does not accept them; the next call sends them again.
        """
        lines, offset = appended_lines(path, self._offsets.get(path, 0))
        self.send([point for line in lines for point in _points(orjson.loads(line))])
        self._offsets[path] = offset

    def send(self, points: Sequence[Metric]) -> None:
        """Send points, which are ordered by step, except for those that the run already has."""
        fresh, last_steps = [], dict(self._last_steps)
        for point in points:
            if point.step > last_steps.get(point.key, -1):
                last_steps[point.key] = point.step
                fresh.append(point)
        self.send_again(fresh)

    def send_again(self, points: Sequence[Metric]) -> None:
        """Send points even if the run already has them."""
        for start in range(0, len(points), BATCH):
            batch = points[start : start + BATCH]
            self._client.log_batch(self._run_id, metrics=batch)
            self._last_steps |= {point.key: max(point.step, self._last_steps.get(point.key, -1)) for point in batch}


def _points(line: dict[str, Any]) -> list[Metric]:
    timestamp = int(line["time"] * 1000)
    return [
        Metric(name, float(value), timestamp, line["step"]) for name, value in line.items() if name not in NOT_METRICS
    ]
