"""The accounts of all shards put together: ledger, rejections, and what the gates measure."""

from collections.abc import Iterator, Sequence

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.audit import Audit, audit_rows
from sft_core.ledger import Ledger, Rejection, read_rejections


def ledger_of(store: ArtifactStore, shards: Sequence[ArtifactRef]) -> Ledger:
    """The sum of all shards' ledgers."""
    return Ledger.total(manifest.ledger for ref in shards if (manifest := store.manifest(ref)).ledger)


def rejections_of(store: ArtifactStore, shards: Sequence[ArtifactRef]) -> Iterator[Rejection]:
    """All rows rejected so far, in order."""
    for ref in shards:
        yield from read_rejections(store.path(ref) / "rejected.jsonl")


def audit_of(store: ArtifactStore, tokens: Sequence[ArtifactRef]) -> Audit:
    """What the gates measure, of all tokenized shards."""
    indexes = [(store.manifest(ref).facts["source"], store.path(ref) / "index.arrow") for ref in tokens]
    return audit_rows(ledger_of(store, tokens), rejections_of(store, tokens), indexes)
