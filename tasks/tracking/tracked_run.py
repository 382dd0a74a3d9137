"""One run: where a recipe's numbers go."""

import contextlib
import math
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, RunTag
from mlflow.exceptions import MlflowException

from sft_core.fingerprint import Placement
from sft_core.ledger import Ledger
from tasks.provenance import origin_tags

BATCH = 500
SAME_SCORE = 1e-6
"""By what share two measurements of one model may differ: their sums are rounded in another order."""
NOT_METRICS = frozenset({"step", "max_steps", "time"})


class TrackedRun(Placement):
    """One run: where a recipe's numbers go. It never changes what a stage computes."""

    def __init__(self, client: MlflowClient, tracking_uri: str, experiment_id: str, run_id: str, is_new: bool) -> None:
        self.client, self.tracking_uri, self.experiment_id, self.run_id = client, tracking_uri, experiment_id, run_id
        self._offset = 0
        self._last_step: dict[str, int] = {}
        run = self.client.get_run(run_id)
        self._is_finished = run.info.status == "FINISHED"
        if not is_new:
            self._resume(run)

    def _resume(self, run: Any) -> None:
        for name in run.data.metrics:
            self._last_step[name] = max(point.step for point in self.client.get_metric_history(self.run_id, name))
        if not self._is_finished:
            self.client.update_run(self.run_id, status="RUNNING")
            self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in origin_tags().items()])

    def finish(self, status: str) -> None:
        """Set the final status; a run that was finished before stays as it was."""
        if not self._is_finished:
            self.client.set_terminated(self.run_id, status)

    def log_dataset(self, name: str, folder: Path, splits: Mapping[str, Mapping[str, Any]], ledger: Ledger) -> None:
        """Attach the data: each split with our content digest, its rows and tokens; and the ledger with every rejected
        row."""
        inputs = []
        with warnings.catch_warnings():  # MLflow registers its own local source twice, and warns of it
            warnings.simplefilter("ignore")
            sources = {split: resolve_dataset_source(str(folder / split)) for split in splits}
        for split, facts in splits.items():
            dataset = MetaDataset(sources[split], name=f"{name}-{split}", digest=facts["digest"])
            context = {"train": "training", "eval": "eval"}[split]
            tags = [
                InputTag("mlflow.data.context", context),
                *(InputTag(key, str(facts[key])) for key in ("rows", "tokens", "blocks")),
            ]
            inputs.append(DatasetInput(dataset._to_mlflow_entity(), tags))
        self.client.log_inputs(self.run_id, inputs)
        if not self._is_finished:
            self.client.log_dict(self.run_id, ledger.flat(), "ledger.json")
            self.client.log_artifact(self.run_id, str(folder / "rejected.jsonl"))

    def log_report(self, page: Path) -> None:
        """Lay the data report beside the run, where MLflow shows it."""
        if not self._is_finished:
            self.client.log_artifact(self.run_id, str(page))

    def log_files(self, files: Iterable[Path]) -> None:
        """Lay files beside the run."""
        for file in files if not self._is_finished else ():
            self.client.log_artifact(self.run_id, str(file))

    def forward_metrics(self, path: Path) -> None:
        """Send the lines that the trainer has written since the last call; with the server away they stay for the next
        call."""
        with contextlib.suppress(MlflowException):
            self.record_metrics(path)

    def record_metrics(self, path: Path) -> None:
        """Send every line that has not been sent.

        Raises:
            MlflowException: if MLflow does not take them.
        """
        if not path.exists():
            return
        if path.stat().st_size < self._offset:  # cut back to a checkpoint, from which training went on
            self._offset = 0
        with path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        points = [point for line in whole.splitlines() for point in _points(orjson.loads(line))]
        self._send(points)
        self._offset += len(whole)

    def record_scorecard(self, scorecard: Mapping[str, float], step: int, samples: Path) -> None:
        """Send the final scores, at the step of the model that they belong to, and the samples as a table."""
        now = int(time.time() * 1000)
        self._send([Metric(name, value, now, step) for name, value in scorecard.items()])
        rows = [orjson.loads(line) for line in samples.read_bytes().splitlines()]
        if rows and not self._is_finished:
            self.client.log_table(self.run_id, {name: [row[name] for row in rows] for name in rows[0]}, "samples.json")

    def record_model_scores(
        self, model_id: str, step: int, scores: Mapping[str, float], data: tuple[str, str], timestamp: int | None = None
    ) -> None:
        """Send scores of a logged model, with the data that they were measured on.

        They become points of the run as well; where it has that point already, but for rounding, the model gets the
        run's, so that no step has two of them.

        Args:
            model_id: Whose scores they are.
            step: Of the model.
            scores: By name.
            data: Name and digest of the data set.
            timestamp: When they were measured, in milliseconds; None: now.
        """
        now, (name, digest) = timestamp or int(time.time() * 1000), data
        measured = [self._point(key, value, step) or (value, now) for key, value in scores.items()]
        points = [
            Metric(key, value, moment, step, model_id, name, digest, self.run_id)
            for key, (value, moment) in zip(scores, measured, strict=True)
        ]
        for start in range(0, len(points), BATCH):
            self.client.log_batch(self.run_id, metrics=points[start : start + BATCH])
        for point in points:
            self._last_step[point.key] = max(point.step, self._last_step.get(point.key, -1))

    def _point(self, key: str, value: float, step: int) -> tuple[float, int] | None:
        """Value and time of a point that the run has of this step, if it is the same but for the order of sums."""
        points = (point for point in self.client.get_metric_history(self.run_id, key) if point.step == step)
        same = (point for point in points if math.isclose(point.value, value, rel_tol=SAME_SCORE))
        return next(((float(point.value), int(point.timestamp)) for point in same), None)

    def describe(self, markdown: str) -> None:
        """Show a summary on the run's page."""
        self.client.set_tag(self.run_id, "mlflow.note.content", markdown)

    def _send(self, points: Sequence[Metric]) -> None:
        fresh = [point for point in points if point.step > self._last_step.get(point.key, -1)]
        for start in range(0, len(fresh), BATCH):
            self.client.log_batch(self.run_id, metrics=fresh[start : start + BATCH])
        for point in fresh:
            self._last_step[point.key] = max(point.step, self._last_step.get(point.key, -1))

    def attach_model(self, model_id: str, step: int) -> None:
        """Name a logged model as the run's output."""
        self.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step)])


def _points(line: dict[str, Any]) -> list[Metric]:
    timestamp = int(line["time"] * 1000)
    return [
        Metric(name, float(value), timestamp, line["step"]) for name, value in line.items() if name not in NOT_METRICS
    ]
