"""From files to a packed data set: the stages that need no GPU, as a plain function that needs no Prefect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sft_core.data.accounts import ShardFiles, audit_of, check_sources, ledger_of, rejections_of
from sft_core.data.chat import replaces_own_template
from sft_core.data.formats import Verdict
from sft_core.data.gates import check_gates, check_rows_left, measure_gates
from sft_core.processes.runtime import STAGES as ALL_STAGES
from sft_core.recipe import Recipe
from sft_core.recipe.inputs import locate_inputs
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.ledger import Ledger
from tasks.detect_formats import detect_formats, verdicts_of
from tasks.gather_images import gather_images, shards_with_images, with_images
from tasks.home import file_digests, open_store
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.pack_shards import pack_shards
from tasks.progress.preparing import preparation
from tasks.render_chats import render_chats
from tasks.report_data import report_data, report_file
from tasks.stages.outcomes import executed_or_cached, stage_folders, stage_keys
from tasks.tokenize_chats import tokenize_chats
from tasks.workers import shard_workers

STAGES = ALL_STAGES[: ALL_STAGES.index("train_model")]
"""Of the preparation, in order; `gather_images` only where rows have images."""


class PreparedData(BaseModel):
    """A packed data set, and how it came to be."""

    dataset: ArtifactRef
    folder: Path
    report: Path
    """The page that shows it."""
    splits: dict[str, dict[str, Any]]
    """Of each split that has rows: rows, blocks, tokens, content digest."""
    ledger: Ledger
    verdicts: dict[str, Verdict]
    """What each source was taken for, and why."""
    artifacts: dict[str, Path]
    artifact_keys: dict[str, str]
    """Stage → key of its artifact, or what the keys of its shards share."""
    stages: dict[str, str]

    def as_result(self) -> dict[str, Any]:
        """What the command line prints as JSON."""
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
    """Read, understand, render, tokenize and pack the sources of a recipe, doing again only what changed.

    Args:
        recipe: What to prepare.
        on_report: Called with the recipe's name, the store and the data report before the gates are checked, so that
            the report of data that they refuse can be shown.
    """
    store = open_store(recipe.runtime)
    digests = file_digests(store)
    inputs = locate_inputs(recipe, digests)
    with preparation(STAGES):
        with shard_workers(recipe.runtime) as workers:
            here: dict[str, Any] = {"store": store, "workers": workers}
            ingested = ingest_sources(pieces_of(inputs.sources), **here)
            shards = shards_of(store, inputs.sources, ingested)
            files, repeats = ShardFiles.of(shards), [shard.repeat for shard in shards]
            records = detect_formats(recipe.formats, shards, **here)
            check_sources(store, records, files)
            named = shards_with_images(store, inputs.sources, shards, records, inputs.processor, digests)
            gathered = gather_images(recipe.images, named, **here) if named else []
            examples = with_images(records, named, gathered)
            check_sources(store, examples, files)
            # a run of texts alone hangs on no processor, whatever else the model could see
            processor = inputs.processor if named else None
            image_limits = recipe.image_row_limits if named else None
            rendered = render_chats(
                recipe.chat, inputs.template, inputs.tokenizer, examples, processor=processor, **here
            )
            tokens = tokenize_chats(
                recipe.tokens,
                recipe.row_limits,
                inputs.tokenizer,
                rendered,
                image_limits=image_limits,
                processor=processor,
                **here,
            )

        check_rows_left(recipe.needed_split, ledger_of(store, tokens), rejections_of(store, tokens, files))
        dataset = pack_shards(
            recipe.packing,
            recipe.tokens.max_length,
            tokens,
            repeats,
            [shard.content_digest for shard in shards],
            files=files.with_stages(records, examples, rendered),
            store=store,
        )
        has_other_template = replaces_own_template(inputs.template, inputs.tokenizer)
        gates = measure_gates(recipe.gates, audit_of(store, tokens, files), has_other_template)
        report = report_data(
            recipe.name,
            dataset,
            inputs.tokenizer,
            gates,
            processor,
            [*records, *gathered, *rendered, *tokens],
            store=store,
        )
        on_report(recipe.name, store, report)
        check_gates(gates, report_file(store, report))

    packed = store.manifest(dataset)
    refs = (ingested, records, gathered, rendered, tokens, [dataset], [report])
    made = {stage: of_stage for stage, of_stage in zip(STAGES, refs, strict=True) if of_stage}
    return PreparedData(
        dataset=dataset,
        folder=store.path(dataset),
        report=report_file(store, report),
        splits=packed.facts["splits"],
        ledger=packed.ledger or Ledger(),
        verdicts=verdicts_of(store, records),
        artifacts=stage_folders(store, made),
        artifact_keys=stage_keys(made),
        stages=executed_or_cached(store, made),
    )
