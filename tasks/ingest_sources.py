"""Read every source once, and cut it into shards of records."""

from pathlib import Path

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.records import ShardRef, StageOutcome
from sft_core.sources import LocatedSource, ingest
from tasks.caching import artifact_task


@artifact_task(rooms=["sources"])
def ingest_sources(sources: tuple[LocatedSource, ...], store: ArtifactStore, folder: Path) -> StageOutcome:
    """Read the located sources of a recipe."""
    del store
    return ingest(sources, folder)


def shards_of(store: ArtifactStore, ingested: ArtifactRef) -> list[ShardRef]:
    """List the shards of an ingest artifact, for the stages that are mapped over them."""
    shards = store.manifest(ingested).facts["shards"]
    return [ShardRef(**{**shard, "path": f"{ingested.folder}/{shard['path']}"}) for shard in shards]
