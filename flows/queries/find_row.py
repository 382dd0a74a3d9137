"""Search for the runs and models that saw a source line, and for the fate of that line in each of them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson

from flows.queries.open_data import OpenData, open_folder, steps_of
from sft_core.errors import RecipeError
from sft_core.inspection import RowTrace, trace_line, trace_row
from sft_core.store.stages import PACK_SHARDS, TRAIN_MODEL
from tasks.tracking.lookup.history import History, RunFacts
from tasks.tracking.lookup.models import artifact_folders
from tasks.tracking.lookup.sources import digest_of, uses_of
from tasks.tracking.tags import ARTIFACT, HOME

FATES = ("trained", "held out", "rejected", "left out")
"""Fates of a row, in the order of preference if parts of a row have different fates."""


@dataclass(frozen=True, slots=True)
class RowSeen:
    """Fate of a row in one run."""

    run: RunFacts = field(repr=False)
    models: list[str]
    """Models of the run: `models:/name/version` followed by its aliases; `models:/m-…` if it was not registered."""
    source: str
    file: str
    fate: str
    """`trained`, `held out`, `rejected` or `left out`. If the artifacts are gone, it is `rejected` or `not rejected`,
    as MLflow has all rejections, or `unknown` if MLflow cannot provide them."""
    reason: str | None
    """Reason why the row was rejected; None for other rows."""
    traces: list[RowTrace]
    """Path of the row through all stages; empty if the artifacts are gone."""
    steps: dict[int, list[int]]
    """Block → optimizer steps that train on it; empty if the artifact of the training is gone."""

    def as_result(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "run": self.run.summary, "steps": {str(b): steps for b, steps in self.steps.items()}}


def find_line(history: History, file: Path, line: int) -> list[RowSeen]:
    """Find the runs that read a file, and the fate of one of its lines in each of them.

    Args:
        history: History of runs to search.
        file: The file. It may have moved since the runs read it, as it is found by its content.
        line: Number of the line, from 1.

    Raises:
        RecipeError: if there is no such file, or no row begins in that line.
    """
    digest = digest_of(history, file)
    look = _Look(history, None, line)
    return [look.seen(use.run, use.source, use.file) for use in uses_of(history, digest, None)]


def find_row(history: History, run: RunFacts, source: str, row: int) -> list[RowSeen]:
    """Find the fate of one row of a run's source.

    Args:
        history: History of runs to search.
        run: The run that read the source.
        source: Name of the source in the recipe of the run.
        row: Number of the row in the source, from 0.

    Raises:
        RecipeError: if the run has no such source, or the source no such row.
    """
    known = sorted({facts.source for facts in run.sources})
    if known and source not in known:
        raise RecipeError(f"run {run.run_id}: expected one of the sources {', '.join(known)}, found '{source}'")
    return [_Look(history, row, None).seen(run, source, "")]


class _Look:
    """Search for one row in many runs; a data set that several runs share is read only once."""

    def __init__(self, history: History, row: int | None, line: int | None) -> None:
        self._history, self._row, self._line = history, row, line
        self._versions = history.versions_by_model()
        self._traced: dict[tuple[str, str, str], list[RowTrace] | None] = {}

    def seen(self, run: RunFacts, source: str, file: str) -> RowSeen:
        keys = {stage: key for stage in (PACK_SHARDS, TRAIN_MODEL) if (key := run.tags.get(f"{ARTIFACT}{stage}"))}
        folders = artifact_folders(self._history, keys, run.tags.get(HOME))
        traces = self._traces(folders.get(PACK_SHARDS), source, file)
        if traces is None:
            fate, reason = self._without_artifacts(run, source, file)
            return RowSeen(run, self._models(run), source, file, fate, reason, [], {})
        fates = sorted({trace.fate for trace in traces}, key=FATES.index)
        blocks = {place.block for trace in traces for place in trace.places if place.split == "train"}
        return RowSeen(
            run,
            self._models(run),
            source,
            file or traces[0].file,
            fates[0],
            next((trace.reason for trace in traces if trace.reason), None),
            traces,
            _steps(folders.get(TRAIN_MODEL), sorted(blocks)),
        )

    def _traces(self, folder: str | None, source: str, file: str) -> list[RowTrace] | None:
        """Trace the row through all stages; return None if the artifacts are gone."""
        key = (folder or "", source, file)
        if folder is not None and key not in self._traced:
            data = _open(Path(folder))
            is_whole = data and all(shard.records.exists() for shard in data.lineage.shards if shard.source == source)
            self._traced[key] = self._trace(data, source, file) if data and is_whole else None
        return self._traced.get(key)

    def _trace(self, data: OpenData, source: str, file: str) -> list[RowTrace]:
        if self._line is None:
            assert self._row is not None
            return trace_row(data.lineage, source, self._row)
        names = {shard.file for shard in data.lineage.shards if shard.source == source}
        asked = file if file in names else next(iter(names)) if len(names) == 1 else file  # renamed after it was packed
        try:
            traces = trace_line(data.lineage, asked, self._line)
        except RecipeError as error:
            raise RecipeError(f"{error}; a row of a file that has no lines is named SOURCE:ROW, with --run") from error
        return [trace for trace in traces if trace.source == source and trace.file == asked]

    def _without_artifacts(self, run: RunFacts, source: str, file: str) -> tuple[str, str | None]:
        """Return the row's fate and its reason, as far as the run's list of rejections has them."""
        rejections = self._history.text(run.run_id, "rejected.jsonl")
        if rejections is None:
            return "unknown", None
        for line in rejections.splitlines():
            rejection = orjson.loads(line)
            is_row = rejection["row"] == self._row if self._line is None else rejection["line"] == self._line
            if is_row and rejection["source"] == source and (not file or rejection.get("file") in (None, "", file)):
                return "rejected", str(rejection["reason"])
        return "not rejected", None

    def _models(self, run: RunFacts) -> list[str]:
        names = []
        for model_id in run.model_ids:
            versions = self._versions.get(model_id, [])
            names += [" @".join([version.uri, *version.aliases]) for version in versions]
            names += [] if versions else [f"models:/{model_id}"]
        return names


def _open(folder: Path) -> OpenData | None:
    try:
        return open_folder(folder)
    except RecipeError:  # an artifact on the way back to the source was removed
        return None


def _steps(folder: str | None, blocks: Sequence[int]) -> dict[int, list[int]]:
    data = _open(Path(folder)) if folder is not None else None
    return {block: steps_of(data, block) for block in blocks} if data else {}
