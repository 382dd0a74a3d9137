"""An MLflow server or database, and the runs in one of its experiments."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Param
from mlflow.exceptions import MlflowException

from sft_core.artifact import ArtifactStore
from sft_core.errors import StageInterruptedError
from sft_core.recipe import Recipe
from tasks.provenance import RecipeText, environment, is_owner_alive, origin_tags, recipe_params
from tasks.tracking.registry import Registry
from tasks.tracking.tracked_run import TrackedRun

RUN_KEY = "sft.run_key"


class Tracker:
    """An MLflow server (or database) and an experiment in it."""

    def __init__(self, tracking_uri: str, experiment: str, artifact_root: Path | None) -> None:
        """Open the experiment, and make it where it is new.

        Args:
            tracking_uri: A server, or a database of our own.
            experiment: Its name.
            artifact_root: Where a database of our own keeps artifacts; None leaves it to the server.
        """
        self.tracking_uri = tracking_uri
        # the registry looks models up through the global address, whatever the client's is
        mlflow.set_tracking_uri(tracking_uri)
        self.client = MlflowClient(tracking_uri)
        self.registry = Registry(self.client)
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
            "tracking_uri": self.tracking_uri,
            "experiment": self.experiment_id,
            "made_at": experiment.creation_time,
        }

    @contextlib.contextmanager
    def run(self, recipe: Recipe, run_key: str) -> Iterator[TrackedRun]:
        """Open the run of a recipe; its final status tells how the block was left."""
        found = self._find(run_key)
        run = TrackedRun(
            self.client,
            self.tracking_uri,
            self.experiment_id,
            found or self._create(recipe, run_key),
            is_new=found is None,
        )
        try:
            yield run
        except BaseException as error:
            was_ended = not isinstance(error, Exception) or isinstance(error, StageInterruptedError)
            run.finish("KILLED" if was_ended else "FAILED")
            raise
        run.finish("FINISHED")

    def _find(self, run_key: str) -> str | None:
        """The newest run of this key, unless another living process is at work on it."""
        runs = self.client.search_runs(
            [self.experiment_id], f"tags.`{RUN_KEY}` = '{run_key}'", order_by=["attributes.start_time DESC"]
        )
        for run in runs:
            tags = run.data.tags
            if run.info.status != "RUNNING" or not is_owner_alive(tags.get("sft.host"), tags.get("sft.pid")):
                return str(run.info.run_id)
        return None

    def _create(self, recipe: Recipe, run_key: str) -> str:
        tags = {RUN_KEY: run_key, "sft.recipe": recipe.name, **origin_tags()}
        run = self.client.create_run(self.experiment_id, tags=tags, run_name=recipe.name)
        params = [Param(name, value) for name, value in recipe_params(recipe).items()]
        for start in range(0, len(params), 100):
            self.client.log_batch(run.info.run_id, params=params[start : start + 100])
        self.client.log_text(run.info.run_id, RecipeText(recipe).yaml, "recipe.yaml")
        self.client.log_dict(run.info.run_id, environment(), "environment.json")
        return str(run.info.run_id)


def open_tracker(experiment: str, store: ArtifactStore) -> Tracker:
    """Use the server that `MLFLOW_TRACKING_URI` names, else a sqlite file and an artifact folder under the store's
    root.

    A new sqlite file is made under a lock: several processes that find none at once would break each other's migration.
    """
    configured = os.environ.get("MLFLOW_TRACKING_URI")
    if configured:
        return Tracker(configured, experiment, artifact_root=None)
    with store.lock("mlflow"):
        return Tracker(f"sqlite:///{store.root / 'mlflow.db'}", experiment, store.root / "mlflow-artifacts")
