"""Preparation of data, from files to a packed data set: the stages that need no GPU, as a function without Prefect."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sft_core.data.accounts import Origins, ShardFiles, Shards
from sft_core.data.formats import Verdict
from sft_core.data.gates import check_gates, check_rows_left, measure_gates
from sft_core.pretrained.reader import Reader
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import DataInputs, locate_inputs
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.ledger import Ledger
from sft_core.store.stages import DATA_STAGES, INGEST_SOURCES, PACK_SHARDS, REPORT_DATA, SHARD_STAGES
from tasks.detect_formats import detect_formats
from tasks.gather_images import examples_with_images
from tasks.home import file_digests, open_store
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.pack_shards import pack_shards
from tasks.progress.preparing import preparation
from tasks.render_chats import render_chats
from tasks.report_data import report_data, report_file
from tasks.stages.outcomes import executed_or_cached, stage_folders, stage_keys
from tasks.stages.run_context import RunContext
from tasks.tokenize_chats import tokenize_chats
from tasks.workers import shard_workers


class PreparedData(BaseModel):
    """A packed data set, with the artifacts and facts of the stages that made it."""

    dataset: ArtifactRef
    folder: Path
    report: Path
    """HTML page of the data report."""
    splits: dict[str, dict[str, Any]]
    """Split → its rows, blocks, tokens and content digest, for each split that has rows."""
    ledger: Ledger
    verdicts: dict[str, Verdict]
    """Source → the format that was detected for it, and the reason."""
    artifacts: dict[str, Path]
    artifact_keys: dict[str, str]
    """Stage → key of its artifact; for a stage with an artifact for each shard, the digest that they share."""
    stages: dict[str, str]

    def as_result(self) -> dict[str, Any]:
        """Return the values that the command line prints as JSON."""
        train, held_out = self.splits["train"], self.splits.get("eval", {})
        return {
            "status": "completed",
            "scorecard": {
                f"{split}_{name}": facts[name]
                for split, facts in self.splits.items()
                for name in ("rows", "tokens", "blocks")
            },
            "ledger": self.ledger.flat(),
            "artifacts": {stage: str(folder) for stage, folder in self.artifacts.items()},
            "stages": self.stages,
            "rejected": str(self.folder / "rejected.jsonl"),
            "formats": {source: verdict["formats"] for source, verdict in self.verdicts.items()},
            "dataset": str(self.folder / "train"),
            "dataset_digest": train["digest"],
            "report": str(self.report),
            "eval_dataset": str(self.folder / "eval") if held_out else None,
            "eval_dataset_digest": held_out.get("digest"),
        }


ShowReport = Callable[[str, ArtifactStore, ArtifactRef], None]


def prepare(recipe: Recipe, on_report: ShowReport = lambda *_: None) -> PreparedData:
    """Read, parse, render, tokenize and pack the sources of a recipe; stages whose inputs did not change are reused.

    Args:
        recipe: The recipe whose data is prepared.
        on_report: Function called with the recipe's name, the store and the data report before the gates are checked,
            so that the report can be shown even if a gate rejects the data.
    """
    store = open_store(recipe.runtime)
    inputs, context = locate_inputs(recipe, file_digests(store)), RunContext(store)
    with preparation(DATA_STAGES):
        rows = _tokenize_rows(recipe, inputs, store)
        check_rows_left(recipe.needed_split, rows.tokens.ledger, rows.tokens.rejections())
        dataset = pack_shards(recipe.packing, recipe.tokens.max_length, rows.tokens.refs, rows.origins, context)
        gates = measure_gates(recipe.gates, rows.tokens.audit(), inputs.replaces_template)
        report = report_data(recipe.name, [dataset, *rows.shown], rows.reader, gates, context)
        on_report(recipe.name, store, report)
        check_gates(gates, report_file(store, report))
    return _prepared(store, rows, dataset, report)


@dataclass(frozen=True)
class _TokenizedRows:
    """All rows as tokens, and the artifacts of the stages that made them."""

    made: dict[str, list[ArtifactRef]]
    """Stage → its artifacts, one for each shard; an empty list for a stage that has nothing to do."""
    tokens: Shards
    origins: Origins
    reader: Reader
    verdicts: dict[str, Verdict]

    @property
    def shown(self) -> list[ArtifactRef]:
        """Artifacts that the data report shows in addition to the data set."""
        return [ref for stage, refs in self.made.items() if stage != INGEST_SOURCES for ref in refs]


def _tokenize_rows(recipe: Recipe, inputs: DataInputs, store: ArtifactStore) -> _TokenizedRows:
    """Run the stages that process each shard independently."""
    with shard_workers(recipe.runtime) as workers:
        context = RunContext(store, workers)
        ingested = ingest_sources(pieces_of(inputs.sources), context)
        shards = shards_of(store, inputs.sources, ingested)
        files = ShardFiles.of(shards)
        records = Shards(store, detect_formats(recipe.formats, shards, context), files).checked()
        examples, gathered = examples_with_images(recipe.images, inputs, shards, records.refs, context)
        Shards(store, examples, files).checked()
        reader, limits = inputs.reader(has_images=bool(gathered)), recipe.limits(has_images=bool(gathered))
        rendered = render_chats(recipe.chat, inputs.template, reader, examples, context)
        tokens = tokenize_chats(recipe.tokens, limits, reader, rendered, context)
    refs = (ingested, records.refs, gathered, rendered, tokens)
    return _TokenizedRows(
        made=dict(zip(SHARD_STAGES, refs, strict=True)),
        tokens=Shards(store, tokens, files),
        origins=Origins.of(shards, records.refs, examples, rendered),
        reader=reader,
        verdicts=records.verdicts(),
    )


def _prepared(store: ArtifactStore, rows: _TokenizedRows, dataset: ArtifactRef, report: ArtifactRef) -> PreparedData:
    packed = store.manifest(dataset)
    stages = {**rows.made, PACK_SHARDS: [dataset], REPORT_DATA: [report]}
    made = {stage: refs for stage, refs in stages.items() if refs}
    return PreparedData(
        dataset=dataset,
        folder=store.path(dataset),
        report=report_file(store, report),
        splits=packed.facts["splits"],
        ledger=packed.ledger or Ledger(),
        verdicts=rows.verdicts,
        artifacts=stage_folders(store, made),
        artifact_keys=stage_keys(made),
        stages=executed_or_cached(store, made),
    )
