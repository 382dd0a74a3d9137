"""An MLflow server or database, and the runs in one of its experiments."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import Param, Run, RunTag
from mlflow.exceptions import MlflowException

from sft_core.errors import StageInterruptedError, TrackerAwayError, log_of
from sft_core.recipe import Recipe
from sft_core.recipe.run_names import run_name
from sft_core.store.artifact import ArtifactStore
from tasks.progress import tell
from tasks.tracking.claims import claim, on_run
from tasks.tracking.dead_runs import CLOSED_TAG, close_dead_runs
from tasks.tracking.outbox import is_outage
from tasks.tracking.provenance import RecipeText, environment, origin_tags, recipe_params
from tasks.tracking.registry import Registry
from tasks.tracking.stores import connect, store_behind, tracking_uri_of
from tasks.tracking.tracked_run import PATIENCE_SECONDS, TrackedRun

RUN_KEY = "sft.run_key"
PARAMS_A_CALL = 100
_OPEN_HERE: set[str] = set()
"""Ids of the runs that this process is at work on."""
_OPENING = threading.Lock()
"""Held from the look at what is dead until a run of this process is known to be alive."""


class Tracker:
    """An MLflow server (or database) and an experiment in it."""

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        artifact_root: Path | None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Open the experiment, and make it where it is new.

        Args:
            tracking_uri: A server, or a database of our own.
            experiment: Its name.
            artifact_root: Where a database of our own keeps artifacts; None leaves it to the server.
            patience_seconds: How long a run's end waits for MLflow.

        Raises:
            TrackerAwayError: if it does not answer.
        """
        self.tracking_uri = tracking_uri
        self._patience_seconds = patience_seconds
        self.client = connect(tracking_uri)
        self.registry = Registry(self.client)
        with self._telling_outages():
            self.experiment_id = self._experiment(experiment, artifact_root)

    def _experiment(self, name: str, artifact_root: Path | None) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            location = None if artifact_root is None else (artifact_root / name).as_uri()
            with contextlib.suppress(MlflowException):  # another process may have been first
                return str(self.client.create_experiment(name, artifact_location=location))
            found = self.client.get_experiment_by_name(name)
        elif found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        assert found is not None
        return str(found.experiment_id)

    def fingerprint(self) -> dict[str, Any]:
        """A registration counts for one store only: another server, or a database made anew, wants its own."""
        experiment = self.client.get_experiment(self.experiment_id)
        return {
            "tracking_uri": store_behind(self.tracking_uri),
            "experiment": self.experiment_id,
            "made_at": experiment.creation_time,
        }

    @contextlib.contextmanager
    def run(self, recipe: Recipe, run_key: str, name: str | None = None) -> Iterator[TrackedRun]:
        """Open the run of a recipe; its final status tells how the block was left. Runs whose owners died are closed
        first. The log of a process that failed is laid beside the run.

        Args:
            recipe: What is done.
            run_key: By which the same run is found again.
            name: Of a new run; by default recipe, model and settings.

        Raises:
            TrackerAwayError: if MLflow does not answer when the run is opened, when the block asks it for something, or
                for a long time at its end.
        """
        with self._telling_outages(), _OPENING:
            close_dead_runs(self.client, self.experiment_id, _OPEN_HERE)
            run = self._open(recipe, run_key, name or run_name(recipe))
            _OPEN_HERE.add(run.run_id)
        try:
            with self._telling_outages():
                yield run
                run.finish()
        except BaseException as error:
            if (log := log_of(error)) is not None and log.is_file():
                run.log_end(log)
            was_ended = not isinstance(error, Exception) or isinstance(error, StageInterruptedError | TrackerAwayError)
            run.abandon("KILLED" if was_ended else "FAILED")
            raise
        finally:
            _OPEN_HERE.discard(run.run_id)

    @contextlib.contextmanager
    def _telling_outages(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            if is_outage(error):
                raise TrackerAwayError.at(self.tracking_uri, error) from error
            raise

    def _open(self, recipe: Recipe, run_key: str, name: str) -> TrackedRun:
        run_id = self._take_up(recipe, run_key) or self._create(recipe, run_key, name)
        return TrackedRun(self.client, self.tracking_uri, self.experiment_id, run_id, self._patience_seconds)

    def _take_up(self, recipe: Recipe, run_key: str) -> str | None:
        """Go on in the newest run of this key that nobody is at work on. Of two that want to go on in it at once, one
        does; to the other it is a run that somebody is at work on."""
        runs = self.client.search_runs(
            [self.experiment_id], f"tags.`{RUN_KEY}` = '{run_key}'", order_by=["attributes.start_time DESC"]
        )
        at_work = []
        for run in runs:
            status = self._take(recipe, run)
            if status != "RUNNING":
                return str(run.info.run_id)
            at_work.append(str(run.info.run_id))
        if at_work:
            tell(f"somebody is at work on this recipe in run {', '.join(at_work)} of MLflow; this start gets its own")
        return None

    def _take(self, recipe: Recipe, run: Run) -> str:
        """Go on in a run that was closed and not finished; return the status that it was found in."""
        if run.info.status in ("RUNNING", "FINISHED"):
            return str(run.info.status)
        with claim(on_run(self.client, run.info.run_id)):
            found = self.client.get_run(run.info.run_id)
            if found.info.status not in ("RUNNING", "FINISHED"):
                self._begin(recipe, found)
            return str(found.info.status)

    def _create(self, recipe: Recipe, run_key: str, name: str) -> str:
        tags = {RUN_KEY: run_key, "sft.recipe": recipe.name, **origin_tags()}
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=name)
        self._begin(recipe, run)
        return str(run.info.run_id)

    def _begin(self, recipe: Recipe, run: Run) -> None:
        """Say who is at work on a run, and what it is of; an attempt that died here may have said a part of it."""
        run_id, data = run.info.run_id, run.data
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in origin_tags().items()])
        self.client.update_run(run_id, status="RUNNING")
        if CLOSED_TAG in data.tags:
            self.client.delete_tag(run_id, CLOSED_TAG)
        params = [Param(name, value) for name, value in recipe_params(recipe).items() if name not in data.params]
        for start in range(0, len(params), PARAMS_A_CALL):
            self.client.log_batch(run_id, params=params[start : start + PARAMS_A_CALL])
        self.client.log_text(run_id, RecipeText(recipe).yaml, "recipe.yaml")
        self.client.log_dict(run_id, environment(), "environment.json")


def open_tracker(experiment: str, store: ArtifactStore) -> Tracker:
    """Use the server that `MLFLOW_TRACKING_URI` names, else a sqlite file and an artifact folder under the store's
    root.

    A new sqlite file is made under a lock: several processes that find none at once would break each other's migration.
    """
    uri = tracking_uri_of(store.root)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return Tracker(uri, experiment, artifact_root=None)
    with store.lock("mlflow"):
        return Tracker(uri, experiment, store.root / "mlflow-artifacts")
