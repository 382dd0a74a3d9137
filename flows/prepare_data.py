"""From files to a packed data set: the stages that need no GPU."""

from pathlib import Path
from typing import Any

from prefect import flow, unmapped
from prefect.task_runners import ThreadPoolTaskRunner
from pydantic import BaseModel

from sft_core.artifact import ArtifactRef
from sft_core.gates import check_gates
from sft_core.inputs import locate_inputs
from sft_core.ledger import Ledger
from sft_core.recipe import Recipe
from tasks.caching import executed_or_cached, stage_folders
from tasks.detect_formats import detect_formats, verdicts_of
from tasks.home import file_digests, open_store
from tasks.ingest_sources import ingest_sources, pieces_of, shards_of
from tasks.pack_shards import ledger_of, pack_shards, rejections_of
from tasks.progress import each_done
from tasks.render_chats import render_chats
from tasks.tokenize_chats import tokenize_chats

SHARDS_AT_A_TIME = 4
"""More would only queue: the encoder already uses every core for one shard."""
RUNNER: Any = ThreadPoolTaskRunner(max_workers=SHARDS_AT_A_TIME)


class PreparedData(BaseModel):
    """A packed data set, and how it came to be."""

    dataset: ArtifactRef
    folder: Path
    splits: dict[str, dict[str, Any]]
    """Of each split that has rows: rows, blocks, tokens, content digest."""
    ledger: Ledger
    verdicts: dict[str, dict[str, int]]
    """Of each source: rows by format."""
    artifacts: dict[str, Path]
    stages: dict[str, str]
    tokens: list[ArtifactRef]
    """Of each shard, in order."""

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
            "formats": self.verdicts,
            "dataset": str(self.folder / "train"),
            "dataset_digest": train["digest"],
            "eval_dataset": str(self.folder / "eval") if held_out else None,
            "eval_dataset_digest": held_out.get("digest"),
        }


@flow(name="prepare-data", flow_run_name="{recipe.name}", task_runner=RUNNER)
def prepare_data(recipe: Recipe) -> PreparedData:
    """Read, understand, render, tokenize and pack the sources of a recipe, doing again only what changed."""
    store = open_store(recipe.runtime)
    inputs = locate_inputs(recipe, file_digests(store))
    tokenizer, template, here = unmapped(inputs.tokenizer), unmapped(inputs.template), unmapped(store)

    read = ingest_sources.map(pieces_of(inputs.sources), store=here)
    ingested = list(each_done(read, "ingest"))
    shards = shards_of(store, inputs.sources, ingested)
    found = detect_formats.map(unmapped(recipe.formats), shards, store=here)
    written = render_chats.map(unmapped(recipe.chat), template, tokenizer, found, store=here)
    counted = tokenize_chats.map(unmapped(recipe.tokens), tokenizer, written, store=here)
    records, rendered, tokens = (
        list(each_done(futures, what))
        for futures, what in ((found, "detect"), (written, "render"), (counted, "tokenize"))
    )

    ledger = ledger_of(store, tokens)
    check_gates(recipe.gates, ledger, rejections_of(store, tokens))
    dataset = pack_shards(recipe.packing, tokens, store=store)

    made = {
        "ingest_sources": ingested,
        "detect_formats": records,
        "render_chats": rendered,
        "tokenize_chats": tokens,
        "pack_shards": [dataset],
    }
    return PreparedData(
        dataset=dataset,
        folder=store.path(dataset),
        splits=store.manifest(dataset).facts["splits"],
        ledger=ledger,
        verdicts=verdicts_of(store, records),
        artifacts=stage_folders(store, made),
        stages=executed_or_cached(store, made),
        tokens=tokens,
    )
