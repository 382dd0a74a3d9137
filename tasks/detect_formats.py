"""Tell what each row of a shard is."""

from collections.abc import Sequence
from typing import Any

from sft_core.data.formats import FormatsConfig, Verdict, detect, total_verdict
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.records import ShardRef
from tasks.stages import stage
from tasks.workers import ShardWorkers, Work


@stage(per="records")
def detect_formats(
    config: FormatsConfig, records: Sequence[ShardRef], *, store: ArtifactStore, workers: ShardWorkers
) -> list[Work]:
    """Turn the records of shards into examples and rejections."""
    return [Work(detect, (config, shard, shard.arrow_file(store.root))) for shard in records]


def verdicts_of(store: ArtifactStore, detected: Sequence[ArtifactRef]) -> dict[str, Verdict]:
    """What each source was taken for and why, over all its shards."""
    facts_by_source: dict[str, list[dict[str, Any]]] = {}
    for ref in detected:
        facts = store.manifest(ref).facts
        facts_by_source.setdefault(facts["source"], []).append(facts)
    return {source: total_verdict(facts) for source, facts in facts_by_source.items()}
