"""From lines of `metrics.jsonl` to points of a run, each exactly once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from mlflow import MlflowClient
from mlflow.entities import Metric

PLACEMENT = "It forwards metrics that the trainer wrote."

BATCH = 500
NOT_METRICS = frozenset({"step", "max_steps", "time"})


class Points:
    """The curves of one run: a point at or before a curve's last step is there already, and is not sent again.

    Two points of one curve at one step, as where training went on from a checkpoint, become one: the first. A batch
    whose answer was lost is sent again as it was, and MLflow keeps each of its points once, because its time, taken
    from the line, is the same.
    """

    def __init__(self, client: MlflowClient, run_id: str, last_steps: Mapping[str, int]) -> None:
        """Go on with curves.

        Args:
            client: Of the store.
            run_id: The run.
            last_steps: The last step of each curve that the run has.
        """
        self._client, self._run_id = client, run_id
        self._last_steps = dict(last_steps)
        self._offsets: dict[Path, int] = {}

    def send_lines(self, path: Path) -> None:
        """Send the lines of a file that have not been sent; one that is still being written waits.

        Raises:
            MlflowException: if MLflow does not take them; what it has not taken is sent by the next call.
        """
        if not path.exists():
            return
        offset = self._offsets.get(path, 0)
        with path.open("rb") as file:
            if path.stat().st_size < offset:  # cut back to a checkpoint, from which training went on
                offset = 0
            file.seek(offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        self.send([point for line in whole.splitlines() for point in _points(orjson.loads(line))])
        self._offsets[path] = offset + len(whole)

    def send(self, points: Sequence[Metric]) -> None:
        """Send points in the order of their steps, without those that the run has."""
        fresh, last_steps = [], dict(self._last_steps)
        for point in points:
            if point.step > last_steps.get(point.key, -1):
                last_steps[point.key] = point.step
                fresh.append(point)
        self.send_again(fresh)

    def send_again(self, points: Sequence[Metric]) -> None:
        """Send points whether or not the run has them."""
        for start in range(0, len(points), BATCH):
            batch = points[start : start + BATCH]
            self._client.log_batch(self._run_id, metrics=batch)
            self._last_steps |= {point.key: max(point.step, self._last_steps.get(point.key, -1)) for point in batch}


def _points(line: dict[str, Any]) -> list[Metric]:
    timestamp = int(line["time"] * 1000)
    return [
        Metric(name, float(value), timestamp, line["step"]) for name, value in line.items() if name not in NOT_METRICS
    ]
