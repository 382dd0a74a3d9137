"""Search of models by their metrics, and of everything that a model was made from."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModel

from sft_core.data.sources.source_files import SourceFile
from sft_core.errors import RecipeError
from sft_core.store.file_digests import FileDigests
from tasks.tracking.lookup.history import History, RunFacts
from tasks.tracking.lookup.sources import recorded_files
from tasks.tracking.model_files import RECIPE_FILE
from tasks.tracking.tags import ARTIFACT, HOME
from tasks.tracking.versions import RegisteredVersion

INFINITE = sys.float_info.max
"""Value that MLflow stores for infinity."""
EVAL_DIGEST = "sft.data_digest.eval"
GROUP_DIGITS = 16


@dataclass(frozen=True, slots=True)
class ScoredModel:
    """Value of one metric of one model on one data set."""

    model_id: str
    uri: str
    """`models:/name/version`, or `models:/m-…` for a model that is not registered."""
    aliases: list[str]
    run_id: str
    data_digest: str
    value: float


def measured_by(history: History, metric: str, name: str | None, is_less_better: bool) -> dict[str, list[ScoredModel]]:
    """Return data digest → all models for which a metric was measured on that data, the best first.

    The value is taken from the scorecard that a model was registered with, and from metrics that were logged on the
    model with the digest of the data; a later measurement replaces an earlier one.

    Args:
        history: The MLflow store.
        metric: Name of the metric, as in the scorecard.
        name: Name of a registered model; None includes all models.
        is_less_better: True if smaller values are better.
    """
    by_model = history.versions_by_model(name)
    found: dict[str, list[ScoredModel]] = {}
    for model in history.models():
        versions = by_model.get(str(model.model_id), [])
        if name is not None and not versions:
            continue
        for digest, value in _values(model, metric).items():
            found.setdefault(digest, []).append(
                ScoredModel(
                    model_id=str(model.model_id),
                    uri=versions[0].uri if versions else f"models:/{model.model_id}",
                    aliases=sorted({alias for version in versions for alias in version.aliases}),
                    run_id=str(model.source_run_id),
                    data_digest=digest,
                    value=value,
                )
            )
    sign = 1 if is_less_better else -1
    return {digest: sorted(models, key=lambda model: sign * model.value) for digest, models in found.items()}


def _values(model: LoggedModel, metric: str) -> dict[str, float]:
    """Return data digest → the model's value of the metric, without infinite values and NaN."""
    tags = dict(model.tags)
    values: dict[str, float] = {}
    if EVAL_DIGEST in tags and metric in (scores := json.loads(tags.get("sft.scorecard", "{}"))):
        values[tags[EVAL_DIGEST]] = float(scores[metric])
    logged = [point for point in model.metrics or [] if point.key == metric and point.dataset_digest]
    for point in sorted(logged, key=lambda point: (point.timestamp, point.step)):
        values[point.dataset_digest] = float(point.value)
    return {digest: value for digest, value in values.items() if abs(value) < INFINITE}


def choose_data(found: dict[str, list[ScoredModel]], digest: str) -> str:
    """Return the complete digest for given first digits.

    Raises:
        RecipeError: if no data set with such a digest has results, or if several digests begin with these digits.
    """
    fitting = [known for known in found if known.startswith(digest)]
    if len(fitting) != 1:
        known = ", ".join(sorted(found)) or "none"
        raise RecipeError(f"--data {digest}: found {len(fitting) or 'no'} data sets with results; there are {known}")
    return fitting[0]


@dataclass(frozen=True, slots=True)
class FileNow(SourceFile):
    """Source file of a run, and its present state."""

    state: str
    """`unchanged`, `changed` or `not here`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Everything that a model was made from."""

    model_id: str
    versions: list[RegisteredVersion]
    run: RunFacts
    scores: dict[str, float]
    verdict: str | None
    files: list[FileNow]
    base: dict[str, str]
    """Facts of the model that training started from, as far as they are known: `init` (`config` for random weights),
    `path`, `digest` and `commit`."""
    prefect: str | None
    """Address of the flow run's page, or else the flow run's id."""
    artifacts: dict[str, str]
    """Stage → folder, only for stages whose folder is on this machine."""
    recipe: str | None
    """Text of the recipe."""

    def as_result(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        own = asdict(self)
        run = {**self.run.summary, "data": {split: asdict(facts) for split, facts in self.run.data.items()}}
        return {**own, "run": run}


def origin_of(history: History, reference: str) -> Origin:
    """Find everything that a model was made from.

    Args:
        history: The MLflow store.
        reference: A run's id, or an address `models:/…`.

    Raises:
        RecipeError: if there is no such model.
    """
    model = history.model(reference)
    model_id, run = str(model.model_id), history.run(str(model.source_run_id))
    versions = history.versions_by_model().get(model_id, [])
    tags = dict(model.tags)
    base = {
        "init": run.params.get("model/init"),
        "path": run.params.get("model/path"),
        "digest": run.tags.get("sft.model_digest"),
        "commit": run.tags.get("sft.model_commit"),
    }
    return Origin(
        model_id=model_id,
        versions=versions,
        run=run,
        scores=scores_of(model),
        verdict=next((version.tags["sft.verdict"] for version in versions if "sft.verdict" in version.tags), None),
        files=list(_files_now(history, run)),
        base={name: value for name, value in base.items() if value and value != "None"},
        prefect=run.tags.get("prefect.flow_run_url") or run.tags.get("prefect.flow_run_id"),
        artifacts=artifact_folders(history, {**_artifact_tags(tags), **_artifact_tags(run.tags)}, run.tags.get(HOME)),
        recipe=history.text(run.run_id, RECIPE_FILE),
    )


def scores_of(model: LoggedModel) -> dict[str, float]:
    """Return the scorecard of a model, updated with metrics that were logged on the model later."""
    tags = dict(model.tags)
    scorecard: dict[str, float] = json.loads(tags.get("sft.scorecard", "{}"))
    ours = tags.get(EVAL_DIGEST)
    logged = sorted(model.metrics or [], key=lambda point: (point.timestamp, point.step))
    return {**scorecard, **{point.key: float(point.value) for point in logged if point.dataset_digest in (ours, None)}}


def _artifact_tags(tags: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(ARTIFACT): key for name, key in tags.items() if name.startswith(ARTIFACT)}


def artifact_folders(history: History, keys: dict[str, str], home: str | None) -> dict[str, str]:
    """Return stage → folder of its artifacts, in this machine's state directory or else in that of the run.

    Args:
        history: The MLflow store, with the state directory of this machine.
        keys: Stage → key of its artifact, or the part that the keys of its shards share.
        home: The state directory of the run, if it is known.
    """
    roots = [history.home, *([Path(home)] if home else [])]
    found = {}
    for stage, key in keys.items():
        places = (place for root in roots for place in _places(root / "artifacts" / stage, key))
        folder = next(places, None)
        if folder is not None:
            found[stage] = str(folder)
    return found


def _places(stage: Path, key: str) -> Iterator[Path]:
    if len(key) == GROUP_DIGITS:
        yield from ([stage / key] if (stage / key).is_dir() else [])
    else:
        yield from stage.glob(f"*-{key[:GROUP_DIGITS]}")


def _files_now(history: History, run: RunFacts) -> Iterator[FileNow]:
    digests = FileDigests.below(history.home)
    for file in recorded_files(history, run):
        yield FileNow(**asdict(file), state=_state(Path(file.path), file, digests))


def _state(path: Path, file: SourceFile, digests: FileDigests) -> str:
    """Return the present state of a file; it is read only if its size is unchanged and its digest is not cached."""
    if not path.is_file():
        return "not here"
    is_same = path.stat().st_size == file.num_bytes and digests.of_file(path) == file.digest
    return "unchanged" if is_same else "changed"
