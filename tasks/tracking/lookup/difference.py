"""What two runs differ in: recipe, data, code, environment, scores."""

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
"""What the one run has, and the other; None where it has nothing."""


@dataclass(frozen=True, slots=True)
class SourceChange:
    """A file of a source that is not the same in both runs."""

    source: str
    file: str
    change: str
    """`added` and `removed` in the second run, or `changed`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two runs side by side; what is equal is left out, but for the scores."""

    first: RunFacts = field(repr=False)
    second: RunFacts = field(repr=False)
    recipe: dict[str, Pair]
    """By the name of the field, `section/field`."""
    sources: list[SourceChange]
    data: dict[str, Pair]
    """`train rows`, `train tokens`, `train digest`, …"""
    code: dict[str, Pair]
    environment: dict[str, Pair]
    scores: dict[str, Pair]

    def as_result(self) -> dict[str, Any]:
        """As JSON values."""
        own = {name: getattr(self, name) for name in ("recipe", "data", "code", "environment", "scores")}
        changes = [asdict(change) for change in self.sources]
        return {"runs": [self.first.summary, self.second.summary], **own, "sources": changes}


def difference_of(history: History, first: RunFacts, second: RunFacts) -> Difference:
    """Compare two runs by what they carry."""
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
    """Files are the same ones if their source and their name in it are."""
    before, after = ({(file.source, file.file): file.digest for file in files} for files in (first, second))
    names = {
        **{place: "removed" for place in before if place not in after},
        **{place: "added" for place in after if place not in before},
        **{place: "changed" for place in after if place in before and before[place] != after[place]},
    }
    return [SourceChange(source, file, change) for (source, file), change in sorted(names.items())]


def _scores(history: History, run: RunFacts) -> dict[str, float]:
    """Of the run's model; a run without one has what its training reported."""
    try:
        return scores_of(history.model(run.run_id))
    except RecipeError:
        return {name: value for name, value in run.metrics.items() if name.startswith("eval_")}
