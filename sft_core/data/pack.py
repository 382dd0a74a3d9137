"""Pack the token rows of all shards into a data set: choose rows, plan blocks, write both splits, account for rows."""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sft_core.data.accounts import Origins, ledger_of, rejections_of
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
    origins: Origins,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Write `train/`, `eval/`, the map from blocks back to rows, the held-out prompts, and all rejections.

    Args:
        config: The `packing` section.
        capacity: Number of tokens that a block can hold (`tokens.max_length`).
        tokens: [shards] The token shards, in order.
        origins: Origin of each shard: how often its train rows are repeated, and the files they were read from.
        store: The store that holds the shards.
        folder: The folder to write to.
    """
    files = origins.files
    manifests = [store.manifest(ref) for ref in tokens]
    rows = TokenRows.read([(manifest.facts["source"], store.path(manifest.ref)) for manifest in manifests], files.parts)
    choices = {split: choose_rows(config, rows, split, origins.repeats) for split in SPLITS}
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
