"""From the token rows of all shards to a data set: choose rows, plan blocks, write both splits, and account for all."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sft_core.data.accounts import ShardFiles, ledger_of, rejections_of
from sft_core.data.packing import (
    Choice,
    PackingConfig,
    choose_rows,
    plan_blocks,
    rejections_of_choice,
    without_left_out,
)
from sft_core.data.shards import write_blocks, write_prompts
from sft_core.data.token_rows import TokenRows
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.ledger import write_rejections
from sft_core.store.records import StageOutcome

SPLITS = ("train", "eval")


def pack(
    config: PackingConfig,
    capacity: int | None,
    tokens: Sequence[ArtifactRef],
    repeats: Sequence[float],
    files: ShardFiles,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Write `train/`, `eval/`, the way back from blocks to rows, the held-out prompts, and all rejections.

    Args:
        config: The `packing` section.
        capacity: Tokens a block can hold: `tokens.max_length`.
        tokens: [shards] the token shards, in order.
        repeats: [shards] how often the data set gets each train row of a shard.
        files: What the shards were read from.
        store: Where the shards are.
        folder: Where to write.
    """
    manifests = [store.manifest(ref) for ref in tokens]
    rows = TokenRows.read([(manifest.facts["source"], store.path(manifest.ref)) for manifest in manifests], files.parts)
    choices = {split: choose_rows(config, rows, split, repeats) for split in SPLITS}
    facts: dict[str, Any] = {
        "splits": {
            split: _write_split(config, capacity, rows, split, choice, folder)
            for split, choice in choices.items()
            if choice.num_rows
        },
        "shards": [
            {"source": manifest.facts["source"], **described}
            for manifest, file, parts in zip(manifests, files.names, files.parts, strict=True)
            for described in ([{"file": part.file, **part.place} for part in parts] or [{"file": file}])
        ],
    }
    if any(files.parts):
        facts["parts_per_shard"] = [len(parts) or 1 for parts in files.parts]
    records = [store.root / path for path in files.records]
    write_prompts(folder / "prompts.arrow", rows, choices["eval"].distinct, records)
    names = [shard["file"] for shard in facts["shards"]]
    left_out = (one for choice in choices.values() for one in rejections_of_choice(rows, choice, names))
    write_rejections(folder / "rejected.jsonl", itertools.chain(rejections_of(store, tokens, files), left_out))
    return StageOutcome(ledger=without_left_out(ledger_of(store, tokens), rows, choices), facts=facts)


def _write_split(
    config: PackingConfig, capacity: int | None, rows: TokenRows, split: str, choice: Choice, folder: Path
) -> dict[str, Any]:
    """Plan and write one split; return what is told of it."""
    plan = plan_blocks(config, split, rows.tokens[choice.rows], capacity).of_rows(choice.rows)
    written = write_blocks(folder, split, rows, plan, config.target_column)
    return {
        "rows": choice.num_rows,
        "blocks": plan.num_blocks,
        "tokens": written.tokens,
        "targets": written.targets,
        "targets_lost_to_splitting": written.targets_lost_to_splitting,
        "digest": written.digest,
        "duplicates": choice.num_duplicates,
        "repeats": len(choice.rows) - choice.num_rows,
    }
