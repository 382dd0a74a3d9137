"""Tell what each row of a shard is."""

from collections import Counter
from collections.abc import Sequence

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.formats import FormatsConfig, detect
from sft_core.records import ShardRef
from tasks.caching import sharded_task
from tasks.workers import Work


@sharded_task(rooms=["formats"], shard="records")
def detect_formats(config: FormatsConfig, records: ShardRef, store: ArtifactStore) -> Work:
    """Turn a shard's records into examples and rejections."""
    return Work(detect, (config, records, records.arrow_file(store.root)))


def verdicts_of(store: ArtifactStore, detected: Sequence[ArtifactRef]) -> dict[str, dict[str, int]]:
    """Count each source's rows by format, over all its shards."""
    verdicts: dict[str, Counter[str]] = {}
    for ref in detected:
        facts = store.manifest(ref).facts
        verdicts.setdefault(facts["source"], Counter()).update(facts["formats"])
    return {source: dict(formats) for source, formats in verdicts.items()}
