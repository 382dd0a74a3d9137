"""The accounts of all shards put together: ledger, rejections, and what the gates measure."""

from collections.abc import Iterator, Sequence

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.audit import Audit, audit_rows
from sft_core.gates import check_source
from sft_core.ledger import Ledger, Rejection, read_rejections
from sft_core.token_rows import TokenRows


def ledger_of(store: ArtifactStore, shards: Sequence[ArtifactRef]) -> Ledger:
    """The sum of all shards' ledgers."""
    return Ledger.total(manifest.ledger for ref in shards if (manifest := store.manifest(ref)).ledger)


def rejections_of(store: ArtifactStore, shards: Sequence[ArtifactRef]) -> Iterator[Rejection]:
    """All rows rejected so far, in order."""
    for ref in shards:
        yield from read_rejections(store.path(ref) / "rejected.jsonl")


def check_sources(store: ArtifactStore, detected: Sequence[ArtifactRef]) -> None:
    """Stop where a source has no usable row, before anything is done with the rows of the others.

    Raises:
        DataError: with the reasons of the rejections.
    """
    shards: dict[str, list[ArtifactRef]] = {}
    for ref in detected:
        shards.setdefault(store.manifest(ref).facts["source"], []).append(ref)
    for source, refs in shards.items():
        check_source(source, ledger_of(store, refs), rejections_of(store, refs))


def audit_of(store: ArtifactStore, tokens: Sequence[ArtifactRef]) -> Audit:
    """What the gates measure, of all tokenized shards."""
    rows = TokenRows.read([(store.manifest(ref).facts["source"], store.path(ref)) for ref in tokens])
    return audit_rows(ledger_of(store, tokens), rejections_of(store, tokens), rows)
