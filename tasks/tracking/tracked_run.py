"""MLflow run to which a recipe's metrics, data and artifacts are logged.

The pipeline never waits for MLflow before the end of the run. Everything that is logged goes through an outbox. A
thread sends the calls of the outbox, forwards the trainer's metrics, and writes a heartbeat once a minute. Only the end
of the run waits, for a limited time.
"""

import math
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import orjson
import requests
from mlflow import MlflowClient
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, RunTag
from mlflow.exceptions import MlflowException

from sft_core.errors import TrackerAwayError
from sft_core.store.fingerprint import Placement
from sft_core.store.ledger import Ledger
from tasks.processes.owners import HEARTBEAT_SECONDS, heartbeat
from tasks.progress import tell
from tasks.tracking.outbox import Call, Outbox, is_outage
from tasks.tracking.points import Points
from tasks.tracking.tags import CONTEXT

T = TypeVar("T")
TICK_SECONDS = 1.0
"""Interval between two reads of the trainer's metrics."""
PATIENCE_SECONDS = 600.0
"""Time that the end of a flow waits for MLflow to be reachable again; a call in progress at that time is finished."""
RETRY_SECONDS = 2.0
LOG_BYTES = 4_000_000
"""Maximum size of a failed process's log that is logged as an artifact."""
SAME_SCORE = 1e-6
"""Largest relative difference between two measurements of one model, whose sums are rounded in different orders."""


def dataset_input(path: str, name: str, digest: str, tags: Mapping[str, str]) -> DatasetInput:
    """Return a dataset input of a run, for a file or a folder."""
    with warnings.catch_warnings():  # MLflow registers its own local source twice, and warns about it
        warnings.simplefilter("ignore")
        dataset = MetaDataset(resolve_dataset_source(path), name=name, digest=digest)
    return DatasetInput(dataset._to_mlflow_entity(), [InputTag(key, value) for key, value in tags.items()])


class TrackedRun(Placement):
    """MLflow run of a recipe. It never changes what a stage computes."""

    def __init__(
        self,
        client: MlflowClient,
        tracking_uri: str,
        experiment_id: str,
        run_id: str,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.client, self.tracking_uri, self.experiment_id, self.run_id = client, tracking_uri, experiment_id, run_id
        self._patience_seconds = patience_seconds
        run = client.get_run(run_id)
        self.is_finished = run.info.status == "FINISHED"
        last_steps = {
            name: max(point.step for point in client.get_metric_history(run_id, name)) for name in run.data.metrics
        }
        self._points = Points(client, run_id, last_steps)
        self._outbox = Outbox()
        self._followed: Path | None = None
        self._refusal: Exception | None = None
        self._last_beat = time.monotonic()
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name=f"mlflow-{run_id[:8]}", daemon=True)
        self._thread.start()

    def _keep_alive(self) -> None:
        while not self._is_ending.wait(TICK_SECONDS):
            try:
                self._outbox.deliver(self._due())
            except Exception as error:  # `settle` raises it
                if not is_outage(error):
                    self._refusal = self._refusal or error

    def _due(self) -> list[Call]:
        """Return the calls of a tick that are not in the outbox: new metrics and the heartbeat."""
        due: list[Call] = []
        if (followed := self._followed) is not None:
            due.append(lambda: self._points.send_lines(followed))
        if not self.is_finished and time.monotonic() - self._last_beat >= HEARTBEAT_SECONDS:
            due.append(self._beat)
        return due

    def _beat(self) -> None:
        self._set_tags(heartbeat())
        self._last_beat = time.monotonic()

    def _set_tags(self, tags: Mapping[str, str]) -> None:
        self.client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def settle(self, before: str) -> None:
        """Wait until MLflow is reachable and has accepted everything that was logged.

        Args:
            before: Description of the next step, for the notice.

        Raises:
            TrackerAwayError: if MLflow does not answer for `PATIENCE_SECONDS`.
            MlflowException: if MLflow rejected a call.
        """
        self.insist(before, lambda: self._outbox.deliver([] if self.is_finished else [self._beat]))
        if self._refusal is not None:
            raise self._refusal

    def insist(self, what: str, call: Callable[[], T]) -> T:
        """Make a call, and repeat it while MLflow is unreachable.

        Args:
            what: Description of the call, for the notice.
            call: The call, which has to be idempotent.

        Raises:
            TrackerAwayError: if MLflow does not answer for `PATIENCE_SECONDS` after the first failed attempt.
            Exception: any other error of the call.
        """
        deadline = None
        while True:
            try:
                return call()
            except Exception as error:
                if not is_outage(error):
                    raise
                if deadline is None:
                    deadline = time.monotonic() + self._patience_seconds
                    tell(
                        f"MLflow at {self.tracking_uri} does not answer; {what} waits for it, for up to "
                        f"{self._patience_seconds / 60:.0f} minutes"
                    )
                elif time.monotonic() >= deadline:
                    raise TrackerAwayError.at(self.tracking_uri, error) from error
                time.sleep(RETRY_SECONDS)

    def finish(self) -> None:
        """Send everything that is left to MLflow, and set the status FINISHED.

        A run that was already finished keeps its status and end time.

        Raises:
            TrackerAwayError: if MLflow stays unreachable; the next start then closes the run and resumes it.
        """
        self._is_ending.set()
        self._thread.join()  # after the call in progress; then every rejected call is known
        self.settle("the end of the run")
        if not self.is_finished:
            self._outbox.post(lambda: self.client.set_terminated(self.run_id, "FINISHED"))
            self.settle("the end of the run")
            self.is_finished = True

    def abandon(self, status: str) -> None:
        """Send what MLflow accepts at once, and set the final status of a run that did not finish.

        It does not wait and does not raise: the caller reports why the run ended, and the next attempt repeats
        everything that is missing.
        """
        self._is_ending.set()
        with suppress(MlflowException, requests.RequestException):
            self._outbox.deliver(self._due())
        if self.is_finished:
            return
        try:
            self.client.set_terminated(self.run_id, status)
        except (MlflowException, requests.RequestException):
            tell(f"MLflow does not answer: run {self.run_id} stays RUNNING there until `sft run` is next started")

    def log_dataset(self, name: str, folder: Path, splits: Mapping[str, Mapping[str, Any]], ledger: Ledger) -> None:
        """Log the data set: an input for each split, with its content digest, rows and tokens; the ledger; and the
        rejected rows."""
        inputs = []
        for split, facts in splits.items():
            counts = {key: str(facts[key]) for key in ("rows", "tokens", "blocks")}
            tags = {CONTEXT: {"train": "training", "eval": "eval"}[split], **counts}
            inputs.append(dataset_input(str(folder / split), f"{name}-{split}", facts["digest"], tags))
        self._outbox.post(lambda: self.client.log_inputs(self.run_id, inputs))
        if not self.is_finished:
            self._outbox.post(lambda: self.client.log_dict(self.run_id, ledger.flat(), "ledger.json"))
        self.log_file(folder / "rejected.jsonl")

    def log_file(self, path: Path) -> None:
        """Log a file as an artifact of the run, unless the run is finished."""
        if not self.is_finished:
            self._outbox.post(lambda: self.client.log_artifact(self.run_id, str(path)))

    def log_end(self, path: Path) -> None:
        """Log a log file as an artifact of the run; of a longer file, only its last `LOG_BYTES`."""
        size = path.stat().st_size
        if size <= LOG_BYTES:
            self.log_file(path)
            return
        with path.open("rb") as file:
            file.seek(-LOG_BYTES, os.SEEK_END)
            end = file.read().decode(errors="replace")
        whole_lines = end.partition("\n")[2] or end
        self.log_text(path.name, f"the end of {path}, which has {size:,} bytes\n{whole_lines}")

    def log_text(self, name: str, text: str) -> None:
        """Log a text as an artifact of the run, unless the run is finished."""
        if not self.is_finished:
            self._outbox.post(lambda: self.client.log_text(self.run_id, text, name))

    def log_files(self, files: Iterable[Path]) -> None:
        """Log files as artifacts of the run, unless the run is finished."""
        for file in files:
            self.log_file(file)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; those with the same names are overwritten."""
        self.post(lambda: self._set_tags(tags))

    def post(self, call: Call) -> None:
        """Make a call to MLflow now, or when MLflow is reachable again; it may be made twice."""
        self._outbox.post(call)

    def follow(self, path: Path) -> None:
        """Forward the lines of a metrics file to MLflow while it is written; during an outage they are sent later."""
        self._followed = path

    def record_metrics(self, path: Path) -> None:
        """Send all lines of a metrics file that MLflow does not have yet."""
        self._followed = None
        self._outbox.post(lambda: self._points.send_lines(path))

    def record_scorecard(self, scorecard: Mapping[str, float], step: int, samples: Path) -> None:
        """Log the final scores at the step of the model that they belong to, and the samples as a table."""
        measured_at = int(samples.stat().st_mtime * 1000)  # the same in every repetition
        points = [Metric(name, value, measured_at, step) for name, value in scorecard.items()]
        self._outbox.post(lambda: self._points.send(points))
        rows = [orjson.loads(line) for line in samples.read_bytes().splitlines()]
        if rows and not self.is_finished:
            table = {name: [row[name] for row in rows] for name in rows[0]}
            self._outbox.post(lambda: self._log_table(table))

    def _log_table(self, table: Mapping[str, Any]) -> None:
        """Log a table as `mlflow.log_table` does, but replace an earlier attempt's table instead of appending to it."""
        self.client.log_dict(
            self.run_id,
            {"columns": list(table), "data": [list(row) for row in zip(*table.values(), strict=True)]},
            "samples.json",
        )
        self._set_tags({"mlflow.loggedArtifacts": '[{"path": "samples.json", "type": "table"}]'})

    def record_model_scores(
        self, model_id: str, step: int, scores: Mapping[str, float], data: tuple[str, str], timestamp: int | None = None
    ) -> None:
        """Log the scores of a logged model, with the data that they were measured on.

        They become points of the run as well. If the run already has a point that differs only by rounding, the model
        gets the value and time of that point, so that no step has two points.

        Args:
            model_id: Id of the logged model.
            step: Optimizer step of the model.
            scores: Name → score.
            data: Name and digest of the data set.
            timestamp: Time of the measurement in milliseconds since 1970; None uses the present time.
        """
        now, (name, digest) = timestamp or int(time.time() * 1000), data
        measured = [self._point(key, value, step) or (value, now) for key, value in scores.items()]
        points = [
            Metric(key, value, moment, step, model_id, name, digest, self.run_id)
            for key, (value, moment) in zip(scores, measured, strict=True)
            if math.isfinite(value)  # MLflow would return NaN as 0, which is the best possible loss
        ]
        self._points.send_again(points)

    def _point(self, key: str, value: float, step: int) -> tuple[float, int] | None:
        """Return value and time of the run's point at this step, if it is the same up to rounding; else None."""
        points = (point for point in self.client.get_metric_history(self.run_id, key) if point.step == step)
        same = (point for point in points if math.isclose(point.value, value, rel_tol=SAME_SCORE))
        return next(((float(point.value), int(point.timestamp)) for point in same), None)

    def describe(self, markdown: str) -> None:
        """Set the description on the run's page."""
        self.set_tags({"mlflow.note.content": markdown})

    def attach_model(self, model_id: str, step: int) -> None:
        """Log a model as an output of the run, unless it already is one."""
        outputs = self.client.get_run(self.run_id).outputs
        if outputs is not None and model_id in {output.model_id for output in outputs.model_outputs}:
            return
        self.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step)])
