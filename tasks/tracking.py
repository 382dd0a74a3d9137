"""The one module that knows MLflow: a run's life, its parameters, data, metrics and model.

The flow owns the run, from its first stage to its final status. The same recipe over the same bytes with the same code
goes on in the same run: a finished one is left as it is and found again, a failed one is resumed. Metrics come from
the trainer's `metrics.jsonl`; a point that the run already has is never sent again, so that forwarding can be repeated
at will.
"""

import contextlib
import os
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import orjson
from mlflow import MlflowClient, pyfunc
from mlflow.data.dataset_source_registry import resolve_dataset_source
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, LoggedModelOutput, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema
from mlflow.types.schema import Array, Object, Property

from sft_core.artifact import ArtifactStore
from sft_core.errors import StageInterruptedError
from sft_core.fingerprint import Placement
from sft_core.ledger import Ledger
from sft_core.recipe import Recipe
from sft_core.serving import DEFAULT_MAX_TOKENS
from tasks.provenance import RecipeText, environment, is_owner_alive, origin_tags, recipe_params

RUN_KEY = "sft.run_key"
BATCH = 500
NOT_METRICS = frozenset({"step", "max_steps", "time"})


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
    def run(self, recipe: Recipe, run_key: str) -> Iterator["TrackedRun"]:
        """Open the run of a recipe; its final status tells how the block was left."""
        found = self._find(run_key)
        run = TrackedRun(self, found or self._create(recipe, run_key), is_new=found is None)
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

    def log_model(
        self, run: "TrackedRun", name: str, folder: Path, extra_files: Path, step: int, tags: Mapping[str, str]
    ) -> str:
        """Log a model folder without loading it and without a second copy on the way.

        Args:
            run: The run that made it.
            name: What to call it.
            folder: Weights, configuration and tokenizer.
            extra_files: A folder with what goes beside them: `MLmodel` is added to it.
            step: Optimizer step of the weights.
            tags: What it was made from.

        Returns:
            The id of the logged model.
        """
        model = self.client.create_logged_model(
            self.experiment_id, name=name, source_run_id=run.run_id, tags=dict(tags)
        )
        try:
            _write_mlmodel(extra_files, run.run_id, model.model_id, is_chat=(folder / "chat_template.jinja").exists())
            self.client.log_model_artifacts(model.model_id, str(extra_files))
            self.client.log_model_artifacts(model.model_id, str(folder), "model")
            self.client.finalize_logged_model(model.model_id, "READY")
        except BaseException:
            self.client.finalize_logged_model(model.model_id, "FAILED")
            raise
        run.attach_model(model.model_id, step)
        return str(model.model_id)

    def register(self, name: str, model_id: str, run: "TrackedRun", tags: Mapping[str, str]) -> str:
        """Make a logged model the next version of a registered model; return the version."""
        with contextlib.suppress(MlflowException):  # it is there already
            self.client.create_registered_model(name)
        version = self.client.create_model_version(
            name, f"models:/{model_id}", run.run_id, tags=dict(tags), model_id=model_id
        )
        return str(version.version)

    def alias_tags(self, name: str, alias: str) -> dict[str, str] | None:
        """The tags of the version behind an alias; None if there is no such alias."""
        version = self.client.get_registered_model(name).aliases.get(alias)
        return None if version is None else dict(self.client.get_model_version(name, version).tags)

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Point an alias at a version."""
        self.client.set_registered_model_alias(name, alias, version)

    def tag_version(self, name: str, version: str, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        for key, value in tags.items():
            self.client.set_model_version_tag(name, version, key, value)


def _write_mlmodel(folder: Path, run_id: str, model_id: str, is_chat: bool) -> None:
    """Say how the model is loaded: `sft_core.serving` on the weights, from the copy of the code that lies beside
    them."""
    message = Object([Property("role", DataType.string), Property("content", DataType.string)])
    inputs = Schema([ColSpec(Array(message), "messages") if is_chat else ColSpec(DataType.string, "prompt")])
    params = ParamSchema(
        [ParamSpec("max_tokens", DataType.long, DEFAULT_MAX_TOKENS), ParamSpec("temperature", DataType.double, 0.0)]
    )
    signature = ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.string)]), params=params)
    model = Model(run_id=run_id, model_id=model_id, signature=signature)
    pyfunc.add_to_model(
        model, loader_module="sft_core.serving", data="model", code="code", python_env="python_env.yaml"
    )
    model.save(str(folder / "MLmodel"))


class TrackedRun(Placement):
    """One run: where a recipe's numbers go. It never changes what a stage computes."""

    def __init__(self, tracker: Tracker, run_id: str, is_new: bool) -> None:
        self.tracker, self.run_id = tracker, run_id
        self._client = tracker.client
        self._offset = 0
        self._last_step: dict[str, int] = {}
        run = self._client.get_run(run_id)
        self._is_finished = run.info.status == "FINISHED"
        if not is_new:
            self._resume(run)

    def _resume(self, run: Any) -> None:
        for name in run.data.metrics:
            self._last_step[name] = max(point.step for point in self._client.get_metric_history(self.run_id, name))
        if not self._is_finished:
            self._client.update_run(self.run_id, status="RUNNING")
            self._client.log_batch(self.run_id, tags=[RunTag(name, value) for name, value in origin_tags().items()])

    def finish(self, status: str) -> None:
        """Set the final status; a run that was finished before stays as it was."""
        if not self._is_finished:
            self._client.set_terminated(self.run_id, status)

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
        self._client.log_inputs(self.run_id, inputs)
        if not self._is_finished:
            self._client.log_dict(self.run_id, ledger.flat(), "ledger.json")
            self._client.log_artifact(self.run_id, str(folder / "rejected.jsonl"))

    def log_report(self, page: Path) -> None:
        """Lay the data report beside the run, where MLflow shows it."""
        if not self._is_finished:
            self._client.log_artifact(self.run_id, str(page))

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
            self._client.log_table(self.run_id, {name: [row[name] for row in rows] for name in rows[0]}, "samples.json")

    def describe(self, markdown: str) -> None:
        """Show a summary on the run's page."""
        self._client.set_tag(self.run_id, "mlflow.note.content", markdown)

    def _send(self, points: Sequence[Metric]) -> None:
        fresh = [point for point in points if point.step > self._last_step.get(point.key, -1)]
        for start in range(0, len(fresh), BATCH):
            self._client.log_batch(self.run_id, metrics=fresh[start : start + BATCH])
        for point in fresh:
            self._last_step[point.key] = max(point.step, self._last_step.get(point.key, -1))

    def attach_model(self, model_id: str, step: int) -> None:
        """Name a logged model as the run's output."""
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step)])


def _points(line: dict[str, Any]) -> list[Metric]:
    timestamp = int(line["time"] * 1000)
    return [
        Metric(name, float(value), timestamp, line["step"]) for name, value in line.items() if name not in NOT_METRICS
    ]


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
