"""Reading of runs and models from MLflow: `sft find` gets all its information from `History`.

Searches are paged and return many runs at a time; no method requests runs one by one.
"""

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import orjson
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run
from mlflow.exceptions import MlflowException

from sft_core.errors import RecipeError
from tasks.tracking.model_references import logged_model
from tasks.tracking.paging import all_pages
from tasks.tracking.stores import open_client, tracking_uri_of
from tasks.tracking.tags import CONTEXT, SOURCE
from tasks.tracking.versions import RegisteredVersion, registered_versions

A_PAGE = 1000
OURS = "tags.`sft.recipe` LIKE '%'"
"""Search condition that selects the runs of this project on a shared server."""
RECIPE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
SPLIT_OF_CONTEXT = {"training": "train", "eval": "eval"}


@dataclass(frozen=True, slots=True)
class DataFacts:
    """One split of the data set that a run used for training or evaluation."""

    name: str
    digest: str
    rows: int
    tokens: int


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One file of a run's sources, or all files of a source together."""

    source: str
    digest: str
    files: int
    """Number of files; the digest of several files is that of their list."""
    file: str
    path: str
    """Path of the file when the run began; empty for several files."""
    num_bytes: int
    split: str | None
    """Split that the recipe assigns to the whole source; None if each row's content decides."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """Facts of one run as plain values."""

    run_id: str
    recipe: str
    status: str
    started: float
    """Seconds since 1970."""
    seconds: float | None
    """Time from its start to its end; None while it is running."""
    commit: str | None
    is_dirty: bool | None
    """True if the working tree differed from the commit; None if it is not known."""
    metric: str | None
    """Name of the metric that the recipe's gate compares."""
    score: float | None
    data: dict[str, DataFacts]
    """Split → facts of its data."""
    sources: list[SourceFacts]
    model_ids: list[str]
    """Ids of the models that the run logged."""
    tags: dict[str, str] = field(repr=False)
    params: dict[str, str] = field(repr=False)
    metrics: dict[str, float] = field(repr=False)

    @classmethod
    def of(cls, run: Run) -> Self:
        """Return the facts that a run has recorded; an old run may lack some, for example its sources."""
        tags, params, metrics = dict(run.data.tags), dict(run.data.params), dict(run.data.metrics)
        inputs = [
            (item.dataset, {tag.key: tag.value for tag in item.tags})
            for item in (run.inputs.dataset_inputs if run.inputs else [])
        ]
        ended = run.info.end_time
        metric = params.get("registry/gate/metric")
        dirty = tags.get("sft.git_dirty")
        return cls(
            run_id=str(run.info.run_id),
            recipe=tags.get("sft.recipe", str(run.info.run_name)),
            status=str(run.info.status),
            started=run.info.start_time / 1000,
            seconds=None if not ended else (ended - run.info.start_time) / 1000,
            commit=tags.get("mlflow.source.git.commit"),
            is_dirty=None if dirty is None else dirty == "true",
            metric=metric,
            score=metrics.get(metric) if metric else None,
            data={
                SPLIT_OF_CONTEXT[labels[CONTEXT]]: DataFacts(
                    dataset.name, dataset.digest, int(labels.get("rows", 0)), int(labels.get("tokens", 0))
                )
                for dataset, labels in inputs
                if labels.get(CONTEXT) in SPLIT_OF_CONTEXT
            },
            sources=[_source(dataset, labels) for dataset, labels in inputs if labels.get(CONTEXT) == SOURCE],
            model_ids=[str(output.model_id) for output in (run.outputs.model_outputs if run.outputs else [])],
            tags=tags,
            params=params,
            metrics=metrics,
        )

    @property
    def summary(self) -> dict[str, Any]:
        """The most important facts of the run, as JSON values."""
        own = {name: getattr(self, name) for name in ("run_id", "recipe", "status", "started", "seconds")}
        data = {split: facts.digest for split, facts in self.data.items()}
        code = {"commit": self.commit, "is_dirty": self.is_dirty}
        return {**own, **code, "metric": self.metric, "score": self.score, "data": data}


@dataclass(frozen=True, slots=True)
class History:
    """Read-only access to all runs and models of one MLflow store."""

    client: MlflowClient
    tracking_uri: str
    home: Path
    """State directory of this machine, where artifacts are looked for."""

    def runs(self, condition: str = "") -> list[RunFacts]:
        """Return the runs of this project that meet a condition in MLflow's search syntax, newest first."""
        experiments = self._experiments()
        condition = " AND ".join(part for part in (OURS, condition) if part)
        found = all_pages(
            self.client.search_runs, experiments, condition, max_results=A_PAGE, order_by=["start_time DESC"]
        )
        with _uncollected():
            return [RunFacts.of(run) for run in found] if experiments else []

    def run(self, reference: str) -> RunFacts:
        """Return the run with an id, with the first digits of an id, or of a model `models:/…`.

        Raises:
            RecipeError: if there is no such run, or if several ids begin with these digits.
        """
        if reference.startswith("models:/"):
            return self.run(str(self.model(reference).source_run_id))
        if len(reference) == 32:
            try:
                return RunFacts.of(self.client.get_run(reference))
            except MlflowException as error:
                raise RecipeError(f"run '{reference}': not found in MLflow ({self.tracking_uri})") from error
        is_id = re.fullmatch("[0-9a-f]+", reference)
        found = self.runs(f"attributes.run_id LIKE '{reference}%'") if is_id else []
        if len(found) != 1:
            raise RecipeError(
                f"run '{reference}': expected a run's id, its first digits, or `models:/NAME@ALIAS`; found "
                f"{len(found) or 'no'} runs ({self.tracking_uri})"
            )
        return found[0]

    def model(self, reference: str) -> LoggedModel:
        """Return the logged model of a run's id or of an address `models:/…`."""
        return logged_model(self.client, reference)

    def models(self, condition: str | None = None) -> list[LoggedModel]:
        """Return all logged models whose upload finished (status READY)."""
        experiments = self._experiments()
        found = all_pages(self.client.search_logged_models, experiments, condition)
        return [model for model in found if model.status == "READY"] if experiments else []

    def versions_by_model(self, name: str | None = None) -> dict[str, list[RegisteredVersion]]:
        """Return id of a logged model → its versions, of all registered models or of one."""
        found: dict[str, list[RegisteredVersion]] = {}
        for version in registered_versions(self.client, name):
            found.setdefault(version.model_id, []).append(version)
        return found

    def text(self, run_id: str, name: str) -> str | None:
        """Return the text of a run's artifact; None if it does not exist or its store cannot be reached."""
        with TemporaryDirectory() as folder:
            try:
                return Path(self.client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")
            except (MlflowException, OSError):
                return None

    def json(self, run_id: str, name: str) -> Any:
        """Return the parsed JSON of a run's artifact; None if it does not exist or its store cannot be reached."""
        text = self.text(run_id, name)
        return None if text is None else orjson.loads(text)

    def _experiments(self) -> list[str]:
        found = all_pages(self.client.search_experiments, max_results=A_PAGE)
        return [str(experiment.experiment_id) for experiment in found]


def runs_of(history: History, recipe: str | None, status: str | None) -> list[RunFacts]:
    """Return the runs of a recipe, newest first.

    Args:
        history: The MLflow store.
        recipe: Name of the recipe; None returns the runs of all recipes.
        status: One of MLflow's statuses, in upper or lower case; None returns runs of any status.

    Raises:
        RecipeError: if there is no such status, or if the name is not a valid recipe name.
    """
    if status is not None and status.upper() not in STATUSES:
        raise RecipeError(f"--status: expected one of {', '.join(STATUSES).lower()}, found '{status}'")
    if recipe is not None and not re.fullmatch(RECIPE_NAME, recipe):
        raise RecipeError(f"expected a recipe's file or its name, found '{recipe}', which is neither")
    conditions = [f"tags.`sft.recipe` = '{recipe}'"] if recipe else []
    conditions += [f"attributes.status = '{status.upper()}'"] if status else []
    return history.runs(" AND ".join(conditions))


def open_history(home: Path) -> History:
    """Open the server that `MLFLOW_TRACKING_URI` names, else the database in the state directory; nothing is created.

    Raises:
        RecipeError: if neither exists.
    """
    return History(open_client(home), tracking_uri_of(home), home)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Disable garbage collection while a block runs.

    A search in a database creates an object for each parameter and tag of each run, and none of them can be freed.
    Collecting garbage among them took two thirds of the time (500 runs: 4.6 s of CPU time with it, 1.6 s without).
    """
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _source(dataset: Any, labels: dict[str, str]) -> SourceFacts:
    return SourceFacts(
        source=dataset.name,
        digest=dataset.digest,
        files=int(labels.get("files", 1)),
        file=labels.get("file", ""),
        path=labels.get("path", ""),
        num_bytes=int(labels.get("num_bytes", 0)),
        split=labels.get("split"),
    )
