"""Reading back what runs and models carry: everything `sft find` knows, it knows through `History`.

Searches are paged and bring many runs at a time; nothing here asks for one run after the other.
"""

import gc
import re
from collections.abc import Callable, Iterator, Sequence
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
from tasks.tracking.addresses import model_id_of
from tasks.tracking.model_references import logged_model
from tasks.tracking.stores import open_client, tracking_uri_of
from tasks.tracking.tags import CONTEXT, SOURCE

RUNS_A_PAGE, OTHERS_A_PAGE = 1000, 100
OURS = "tags.`sft.recipe` LIKE '%'"
"""What tells our runs from others in a shared server."""
RECIPE_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]*"
STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
SPLIT_OF_CONTEXT = {"training": "train", "eval": "eval"}


@dataclass(frozen=True, slots=True)
class DataFacts:
    """One split of the data set that a run trained on or was measured with."""

    name: str
    digest: str
    rows: int
    tokens: int


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One file of a run's sources, or all of a source's together."""

    source: str
    digest: str
    files: int
    """How many these are; the digest of several is that of their list."""
    file: str
    path: str
    """Where it lay when the run began; empty of several."""
    num_bytes: int
    split: str | None
    """Which the recipe gives to the whole source; None: each row's content decides."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run in plain values."""

    run_id: str
    recipe: str
    status: str
    started: float
    """Seconds since 1970."""
    seconds: float | None
    """From its start to its end; None while it is at work."""
    commit: str | None
    is_dirty: bool | None
    """Whether the working tree differed from the commit."""
    metric: str | None
    """The number that the recipe's gate compares."""
    score: float | None
    data: dict[str, DataFacts]
    """By split."""
    sources: list[SourceFacts]
    model_ids: list[str]
    """Of the models that it logged."""
    tags: dict[str, str] = field(repr=False)
    params: dict[str, str] = field(repr=False)
    metrics: dict[str, float] = field(repr=False)

    @classmethod
    def of(cls, run: Run) -> Self:
        """What a run says, as far as it says it: an older one has no sources."""
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
                SPLIT_OF_CONTEXT[told[CONTEXT]]: DataFacts(
                    dataset.name, dataset.digest, int(told.get("rows", 0)), int(told.get("tokens", 0))
                )
                for dataset, told in inputs
                if told.get(CONTEXT) in SPLIT_OF_CONTEXT
            },
            sources=[_source(dataset, told) for dataset, told in inputs if told.get(CONTEXT) == SOURCE],
            model_ids=[str(output.model_id) for output in (run.outputs.model_outputs if run.outputs else [])],
            tags=tags,
            params=params,
            metrics=metrics,
        )

    @property
    def summary(self) -> dict[str, Any]:
        """What tells this run from others, as JSON values."""
        own = {name: getattr(self, name) for name in ("run_id", "recipe", "status", "started", "seconds")}
        data = {split: facts.digest for split, facts in self.data.items()}
        code = {"commit": self.commit, "is_dirty": self.is_dirty}
        return {**own, **code, "metric": self.metric, "score": self.score, "data": data}


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """One version of a registered model."""

    name: str
    version: str
    aliases: list[str]
    model_id: str
    run_id: str
    tags: dict[str, str] = field(repr=False)

    @property
    def uri(self) -> str:
        """What it is loaded by."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class History:
    """All runs and models that one MLflow store knows; only read."""

    client: MlflowClient
    tracking_uri: str
    home: Path
    """Where artifacts of this machine are looked for."""

    def runs(self, condition: str = "") -> list[RunFacts]:
        """Runs of ours that meet a condition in MLflow's language, newest first."""
        experiments = self._experiments()
        condition = " AND ".join(part for part in (OURS, condition) if part)
        found = _all(
            lambda token: self.client.search_runs(
                experiments, condition, max_results=RUNS_A_PAGE, order_by=["start_time DESC"], page_token=token
            )
        )
        with _uncollected():
            return [RunFacts.of(run) for run in found] if experiments else []

    def run(self, reference: str) -> RunFacts:
        """The run of this id (or its first digits), or behind a model `models:/…`.

        Raises:
            RecipeError: if there is none, or several begin with these digits.
        """
        if reference.startswith("models:/"):
            return self.run(str(self.model(reference).source_run_id))
        if len(reference) == 32:
            try:
                return RunFacts.of(self.client.get_run(reference))
            except MlflowException as error:
                raise RecipeError(f"run '{reference}': MLflow knows none ({self.tracking_uri})") from error
        is_id = re.fullmatch("[0-9a-f]+", reference)
        found = self.runs(f"attributes.run_id LIKE '{reference}%'") if is_id else []
        if len(found) != 1:
            raise RecipeError(
                f"run '{reference}': expected a run's id, its first digits, or `models:/NAME@ALIAS`; found "
                f"{len(found) or 'no'} runs ({self.tracking_uri})"
            )
        return found[0]

    def model(self, reference: str) -> LoggedModel:
        """The logged model behind a run's id or an address `models:/…`."""
        return logged_model(self.client, reference)

    def models(self, condition: str | None = None) -> list[LoggedModel]:
        """All logged models that are whole."""
        experiments = self._experiments()
        found = _all(
            lambda token: self.client.search_logged_models(
                experiments, condition, max_results=OTHERS_A_PAGE, page_token=token
            )
        )
        return [model for model in found if model.status == "READY"] if experiments else []

    def versions(self, name: str | None = None) -> list[VersionFacts]:
        """All versions of all registered models, or of one."""
        condition = None if name is None else f"name = '{name}'"
        named = _all(
            lambda token: self.client.search_registered_models(condition, max_results=OTHERS_A_PAGE, page_token=token)
        )
        aliases = {model.name: dict(model.aliases) for model in named}
        found = _all(
            lambda token: self.client.search_model_versions(condition, max_results=RUNS_A_PAGE, page_token=token)
        )
        return [
            VersionFacts(
                name=version.name,
                version=str(version.version),
                aliases=sorted(
                    alias for alias, of in aliases.get(version.name, {}).items() if str(of) == str(version.version)
                ),
                model_id=model_id_of(str(version.source)),
                run_id=str(version.run_id),
                tags=dict(version.tags),
            )
            for version in found
        ]

    def text(self, run_id: str, name: str) -> str | None:
        """An artifact of a run; None if it has no such one, or its store cannot be reached."""
        with TemporaryDirectory() as folder:
            try:
                return Path(self.client.download_artifacts(run_id, name, folder)).read_text(encoding="utf-8")
            except (MlflowException, OSError):
                return None

    def json(self, run_id: str, name: str) -> Any:
        """The same, parsed."""
        text = self.text(run_id, name)
        return None if text is None else orjson.loads(text)

    def _experiments(self) -> list[str]:
        found = _all(lambda token: self.client.search_experiments(max_results=RUNS_A_PAGE, page_token=token))
        return [str(experiment.experiment_id) for experiment in found]


def runs_of(history: History, recipe: str | None, status: str | None) -> list[RunFacts]:
    """Runs of a recipe by its name, newest first.

    Args:
        history: Where to look.
        recipe: Its name; None: all.
        status: One of MLflow's, in any case of letters; None: any.

    Raises:
        RecipeError: if there is no such status, or the name cannot be one.
    """
    if status is not None and status.upper() not in STATUSES:
        raise RecipeError(f"--status: expected one of {', '.join(STATUSES).lower()}, found '{status}'")
    if recipe is not None and not re.fullmatch(RECIPE_NAME, recipe):
        raise RecipeError(f"expected a recipe's file or its name, found '{recipe}', which is neither")
    conditions = [f"tags.`sft.recipe` = '{recipe}'"] if recipe else []
    conditions += [f"attributes.status = '{status.upper()}'"] if status else []
    return history.runs(" AND ".join(conditions))


def open_history(home: Path) -> History:
    """Open the server that `MLFLOW_TRACKING_URI` names, else the database in the home; nothing is made.

    Raises:
        RecipeError: if there is neither.
    """
    return History(open_client(home), tracking_uri_of(home), home)


@contextmanager
def _uncollected() -> Iterator[None]:
    """A search in a database makes an object for each parameter and tag of each run, and all of them stay: looking
    through them for garbage took two thirds of its time (500 runs: 4.6 s of a core with it, 1.6 s without)."""
    is_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_on:
            gc.enable()


def _all(page_of: Callable[[str | None], Any]) -> Iterator[Any]:
    """Every item of every page."""
    token: str | None = None
    while True:
        page: Sequence[Any] = page_of(token)
        yield from page
        token = getattr(page, "token", None)
        if not token:
            return


def _source(dataset: Any, told: dict[str, str]) -> SourceFacts:
    return SourceFacts(
        source=dataset.name,
        digest=dataset.digest,
        files=int(told.get("files", 1)),
        file=told.get("file", ""),
        path=told.get("path", ""),
        num_bytes=int(told.get("num_bytes", 0)),
        split=told.get("split"),
    )
