"""Pack the rows of all shards into blocks, and write the data set."""

from collections.abc import Sequence
from pathlib import Path

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.ledger import write_rejections
from sft_core.packing import PackingConfig, plan_blocks
from sft_core.records import StageOutcome
from sft_core.shards import TokenRows, write_blocks, write_prompts
from tasks.caching import artifact_task
from tasks.row_accounts import ledger_of, rejections_of

SPLITS = ("train", "eval")


@artifact_task(rooms=["packing", "shards"])
def pack_shards(
    config: PackingConfig, tokens: Sequence[ArtifactRef], store: ArtifactStore, folder: Path
) -> StageOutcome:
    """Write `train/`, `eval/`, the way back from blocks to rows, the held-out prompts, and all rejections."""
    manifests = [store.manifest(ref) for ref in tokens]
    paths = [(manifest.facts["source"], store.path(manifest.ref) / "tokens.arrow") for manifest in manifests]
    facts = {"max_length": manifests[0].facts["max_length"], "splits": {}}
    for split in SPLITS:
        rows = TokenRows.read(paths, split)
        if len(rows.row):
            blocks = plan_blocks(config, split, rows.lengths.tolist(), facts["max_length"])
            digest = write_blocks(folder, split, rows, blocks, config.target_column)
            facts["splits"][split] = {
                "rows": len(rows.row),
                "blocks": len(blocks),
                "tokens": len(rows.input_ids),
                "digest": digest,
            }
        if split == "eval":
            write_prompts(folder / "prompts.arrow", rows)
    write_rejections(folder / "rejected.jsonl", rejections_of(store, tokens))
    return StageOutcome(ledger=ledger_of(store, tokens), facts=facts)
