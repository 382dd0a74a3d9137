"""From numbers to models, and from a model to all that it was made from."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import LoggedModel

from sft_core.errors import RecipeError
from sft_core.store.file_digests import FileDigests
from tasks.tracking.lookup.history import History, RunFacts, VersionFacts
from tasks.tracking.lookup.sources import recorded_files
from tasks.tracking.tags import ARTIFACT, HOME

INFINITE = sys.float_info.max
"""What MLflow makes of infinity."""
EVAL_DIGEST = "sft.data_digest.eval"
GROUP_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Measured:
    """One number of one model on one data set."""

    model_id: str
    uri: str
    """`models:/name/version`, or `models:/m-…` of a model that was not registered."""
    aliases: list[str]
    run_id: str
    data_digest: str
    value: float


def measured_by(history: History, metric: str, name: str | None, is_less_better: bool) -> dict[str, list[Measured]]:
    """All models that have a number, by the digest of the data that it was measured on, the best first.

    The number is taken from the scorecard that a model was registered with, and from what was logged on the model
    itself with the digest of the data; a later measurement replaces an earlier one.

    Args:
        history: Where to look.
        metric: As in the scorecard.
        name: Of a registered model; None: all.
        is_less_better: What comes first.
    """
    by_model: dict[str, list[VersionFacts]] = {}
    for version in history.versions(name):
        by_model.setdefault(version.model_id, []).append(version)
    found: dict[str, list[Measured]] = {}
    for model in history.models():
        versions = by_model.get(str(model.model_id), [])
        if name is not None and not versions:
            continue
        for digest, value in _values(model, metric).items():
            found.setdefault(digest, []).append(
                Measured(
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
    """Data digest → the model's number there; one that is no number is nobody's best."""
    tags = dict(model.tags)
    values: dict[str, float] = {}
    if EVAL_DIGEST in tags and metric in (scores := json.loads(tags.get("sft.scorecard", "{}"))):
        values[tags[EVAL_DIGEST]] = float(scores[metric])
    logged = [point for point in model.metrics or [] if point.key == metric and point.dataset_digest]
    for point in sorted(logged, key=lambda point: (point.timestamp, point.step)):
        values[point.dataset_digest] = float(point.value)
    return {digest: value for digest, value in values.items() if abs(value) < INFINITE}


def choose_data(found: dict[str, list[Measured]], digest: str) -> str:
    """The whole of a digest whose first digits somebody gave.

    Raises:
        RecipeError: if no data set of this digest has results, or several begin with these digits.
    """
    fitting = [known for known in found if known.startswith(digest)]
    if len(fitting) != 1:
        known = ", ".join(sorted(found)) or "none"
        raise RecipeError(f"--data {digest}: found {len(fitting) or 'no'} data sets with results; there are {known}")
    return fitting[0]


@dataclass(frozen=True, slots=True)
class FileNow:
    """A source file of a run, and whether it still lies there."""

    source: str
    file: str
    path: str
    digest: str
    num_bytes: int
    state: str
    """`unchanged`, `changed` or `not here`."""


@dataclass(frozen=True, slots=True)
class Origin:
    """All that a model was made from."""

    model_id: str
    versions: list[VersionFacts]
    run: RunFacts
    scores: dict[str, float]
    verdict: str | None
    files: list[FileNow]
    base: dict[str, str]
    """Of the model that training began with: `init` (`config`: random weights), path, digest and commit, as far as they
    are known."""
    prefect: str | None
    """The flow run's page, else its id."""
    artifacts: dict[str, str]
    """Stage → folder; stages whose folder is not on this machine are left out."""
    recipe: str | None
    """As text."""

    def as_result(self) -> dict[str, Any]:
        """As JSON values."""
        own = asdict(self)
        run = {**self.run.summary, "data": {split: asdict(facts) for split, facts in self.run.data.items()}}
        return {**own, "run": run}


def origin_of(history: History, reference: str) -> Origin:
    """Follow a model back.

    Args:
        history: Where to look.
        reference: A run's id, or an address `models:/…`.

    Raises:
        RecipeError: if there is no such model.
    """
    model = history.model(reference)
    model_id, run = str(model.model_id), history.run(str(model.source_run_id))
    versions = [version for version in history.versions() if version.model_id == model_id]
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
        recipe=history.text(run.run_id, "recipe.yaml"),
    )


def scores_of(model: LoggedModel) -> dict[str, float]:
    """The scorecard, and numbers logged on the model since."""
    tags = dict(model.tags)
    told: dict[str, float] = json.loads(tags.get("sft.scorecard", "{}"))
    ours = tags.get(EVAL_DIGEST)
    logged = sorted(model.metrics or [], key=lambda point: (point.timestamp, point.step))
    return {**told, **{point.key: float(point.value) for point in logged if point.dataset_digest in (ours, None)}}


def _artifact_tags(tags: dict[str, str]) -> dict[str, str]:
    return {name.removeprefix(ARTIFACT): key for name, key in tags.items() if name.startswith(ARTIFACT)}


def artifact_folders(history: History, keys: dict[str, str], home: str | None) -> dict[str, str]:
    """Where the artifacts of these stages lie: in the home of this machine, else in that of the run.

    Args:
        history: Knows this machine's home.
        keys: Stage → key, or what the keys of a stage's shards share.
        home: Of the run, if it is known.
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
        yield FileNow(
            file.source, file.file, file.path, file.digest, file.num_bytes, _state(Path(file.path), file, digests)
        )


def _state(path: Path, file: Any, digests: FileDigests) -> str:
    """A file is read only if its size is still the same and its digest is not remembered."""
    if not path.is_file():
        return "not here"
    is_same = path.stat().st_size == file.num_bytes and digests.of_file(path) == file.digest
    return "unchanged" if is_same else "changed"
