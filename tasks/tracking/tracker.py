"""Experiment of an MLflow server or database, in which runs are opened, resumed and closed."""

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
from tasks.tracking.dead_runs import CLOSED_TAG, close_dead_runs
from tasks.tracking.model_files import RECIPE_FILE
from tasks.tracking.outbox import is_outage
from tasks.tracking.provenance import RecipeText, environment, origin_tags, recipe_params
from tasks.tracking.registry import Registry
from tasks.tracking.stores import connect, store_behind, tracking_uri_of
from tasks.tracking.tag_lock import on_run, tag_lock
from tasks.tracking.tracked_run import PATIENCE_SECONDS, TrackedRun

RUN_KEY = "sft.run_key"
PARAMS_A_CALL = 100
_OPEN_HERE: set[str] = set()
"""Ids of the runs that are open in this process."""
_OPENING = threading.Lock()
"""Held while dead runs are closed and until the new run of this process is in `_OPEN_HERE`."""


class Tracker:
    """Experiment of an MLflow server or database."""

    def __init__(
        self,
        tracking_uri: str,
        experiment: str,
        artifact_root: Path | None,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """Open the experiment; create it if it does not exist.

        Args:
            tracking_uri: Address of a server, or of the database in the state directory.
            experiment: Name of the experiment.
            artifact_root: Folder for artifacts if a database is used; None for a server, which has its own.
            patience_seconds: Time that the end of a run waits for MLflow.

        Raises:
            TrackerAwayError: if MLflow does not answer.
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
        """Return what identifies the experiment in keys: a registration is valid only for one store and experiment."""
        experiment = self.client.get_experiment(self.experiment_id)
        return {
            "tracking_uri": store_behind(self.tracking_uri),
            "experiment": self.experiment_id,
            "made_at": experiment.creation_time,
        }

    @contextlib.contextmanager
    def run(self, recipe: Recipe, run_key: str, name: str | None = None) -> Iterator[TrackedRun]:
        """Open or resume the run of a recipe for the length of a block, and set its status when the block ends.

        Runs whose owner processes died are closed first. If a child process fails, its log is logged as an artifact.

        Args:
            recipe: The recipe.
            run_key: Key by which the same run is found again.
            name: Name for a new run; by default it consists of recipe, model and settings.

        Raises:
            TrackerAwayError: if MLflow does not answer when the run is opened or when the block calls it, or does not
                answer for a long time at the end of the run.
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
        """Resume the newest run of this key that is not running; a finished run is returned unchanged.

        If two processes try to resume the same run at once, one of them does; for the other, the run is running.

        Returns:
            The id of the run; None if there is no such run.
        """
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
            tell(f"another process runs this recipe in MLflow run {', '.join(at_work)}; this start gets its own run")
        return None

    def _take(self, recipe: Recipe, run: Run) -> str:
        """Resume a run that is neither running nor finished; return the status that it had before."""
        if run.info.status in ("RUNNING", "FINISHED"):
            return str(run.info.status)
        with tag_lock(on_run(self.client, run.info.run_id)):
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
        """Log the owner, recipe and environment of a run; parameters that an earlier attempt logged are kept."""
        run_id, data = run.info.run_id, run.data
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in origin_tags().items()])
        self.client.update_run(run_id, status="RUNNING")
        if CLOSED_TAG in data.tags:
            self.client.delete_tag(run_id, CLOSED_TAG)
        params = [Param(name, value) for name, value in recipe_params(recipe).items() if name not in data.params]
        for start in range(0, len(params), PARAMS_A_CALL):
            self.client.log_batch(run_id, params=params[start : start + PARAMS_A_CALL])
        self.client.log_text(run_id, RecipeText(recipe).yaml, RECIPE_FILE)
        self.client.log_dict(run_id, environment(), "environment.json")


def open_tracker(experiment: str, store: ArtifactStore) -> Tracker:
    """Use the server that `MLFLOW_TRACKING_URI` names, else an SQLite file and an artifact folder in the store's root.

    A new SQLite file is created under a lock, because several processes that create it at once would break each other's
    migration of the schema.
    """
    uri = tracking_uri_of(store.root)
    if os.environ.get("MLFLOW_TRACKING_URI"):
        return Tracker(uri, experiment, artifact_root=None)
    with store.lock("mlflow"):
        return Tracker(uri, experiment, store.root / "mlflow-artifacts")
