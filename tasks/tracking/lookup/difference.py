"""Differences between two runs: recipe, data, code, environment, scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sft_core.data.sources.source_files import SourceFile
from sft_core.errors import RecipeError
from tasks.tracking.lookup.history import History, RunFacts
from tasks.tracking.lookup.models import scores_of
from tasks.tracking.lookup.sources import recorded_files
from tasks.tracking.tags import CODE_DIGEST

Pair = tuple[Any, Any]
"""Values of the first and of the second run; None for a run that has no such value."""


@dataclass(frozen=True, slots=True)
class SourceChange:
    """File of a source that is not the same in both runs."""

    source: str
    file: str
    change: str
    """`added` or `removed` in the second run, or `changed`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Differences between two runs. Equal values are omitted, except for scores."""

    first: RunFacts = field(repr=False)
    second: RunFacts = field(repr=False)
    recipe: dict[str, Pair]
    """Name of the field, `section/field` → values."""
    sources: list[SourceChange]
    data: dict[str, Pair]
    """`train rows`, `train tokens`, `train digest`, … → values."""
    code: dict[str, Pair]
    environment: dict[str, Pair]
    scores: dict[str, Pair]

    def as_result(self) -> dict[str, Any]:
        """Return all fields as JSON values."""
        own = {name: getattr(self, name) for name in ("recipe", "data", "code", "environment", "scores")}
        changes = [asdict(change) for change in self.sources]
        return {"runs": [self.first.summary, self.second.summary], **own, "sources": changes}


def difference_of(history: History, first: RunFacts, second: RunFacts) -> Difference:
    """Compare two runs by what they recorded in MLflow."""
    code = [
        {"commit": run.commit, "uncommitted changes": run.is_dirty, "code digest": run.tags.get(CODE_DIGEST)}
        for run in (first, second)
    ]
    made_with = [history.json(run.run_id, "environment.json") or {} for run in (first, second)]
    scores = [_scores(history, run) for run in (first, second)]
    return Difference(
        first,
        second,
        recipe=_unequal(first.params, second.params),
        sources=changed_files(*(recorded_files(history, run) for run in (first, second))),
        data=_unequal(_data(first), _data(second)),
        code=_unequal(*code),
        environment=_unequal(*made_with),
        scores=_pairs(*scores),
    )


def _pairs(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: (first.get(name), second.get(name)) for name in sorted({*first, *second})}


def _unequal(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Pair]:
    return {name: pair for name, pair in _pairs(first, second).items() if pair[0] != pair[1]}


def _data(run: RunFacts) -> dict[str, Any]:
    return {
        f"{split} {name}": getattr(facts, name)
        for split, facts in run.data.items()
        for name in ("rows", "tokens", "digest")
    }


def changed_files(first: Sequence[SourceFile], second: Sequence[SourceFile]) -> list[SourceChange]:
    """List the files that differ; files of two runs correspond if they have the same source and the same name in it."""
    before, after = ({(file.source, file.file): file.digest for file in files} for files in (first, second))
    return [
        SourceChange(*name, "added" if name not in before else "removed" if name not in after else "changed")
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


def _scores(history: History, run: RunFacts) -> dict[str, float]:
    """Return the scores of the run's model; for a run without a model, the `eval_` metrics of its training."""
    try:
        return scores_of(history.model(run.run_id))
    except RecipeError:
        return {name: value for name, value in run.metrics.items() if name.startswith("eval_")}
