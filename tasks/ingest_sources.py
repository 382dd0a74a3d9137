"""Read a piece of a source once, and cut it into shards of records."""

from collections.abc import Sequence

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.records import ShardRef
from sft_core.sources import Group, Ingested, LocatedSource, Piece, assemble, ingest
from tasks.caching import sharded_task
from tasks.workers import Work


@sharded_task(rooms=["sources"], shard="piece")
def ingest_sources(piece: Piece | Group, store: ArtifactStore) -> Work:
    """Read one piece of a recipe's sources, or one group of small files."""
    return Work(ingest, (piece,))


def pieces_of(sources: Sequence[LocatedSource]) -> list[Piece | Group]:
    """List the pieces and groups of all sources, for the task that is mapped over them."""
    return [piece for source in sources for piece in source.pieces]


def shards_of(
    store: ArtifactStore, sources: Sequence[LocatedSource], ingested: Sequence[ArtifactRef]
) -> list[ShardRef]:
    """List the shards of ingested pieces, for the stages that are mapped over them."""
    made = [Ingested(ref.folder, store.manifest(ref).facts) for ref in ingested]
    return assemble(sources, made, store.root)
