"""Read each piece of a source once, and split it into shards of records."""

from collections.abc import Sequence

from sft_core.data.sources import FilePiece, Group, Ingested, LocatedSource, assemble, ingest
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.records import ShardRef
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


@stage(per="pieces")
def ingest_sources(pieces: Sequence[FilePiece | Group], context: RunContext) -> list[Work]:
    """Read pieces of a recipe's sources, and groups of small files."""
    return [Work(ingest, (piece,)) for piece in pieces]


def pieces_of(sources: Sequence[LocatedSource]) -> list[FilePiece | Group]:
    """List the pieces and groups of all sources, for the stage that reads them."""
    return [piece for source in sources for piece in source.pieces]


def shards_of(
    store: ArtifactStore, sources: Sequence[LocatedSource], ingested: Sequence[ArtifactRef]
) -> list[ShardRef]:
    """List the shards of ingested pieces, for the stages that are mapped over them."""
    made = [Ingested(ref.folder, store.manifest(ref).facts) for ref in ingested]
    return assemble(sources, made, store.root)
