"""The accounts of all shards put together: ledger, rejections, and what the gates measure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sft_core.data.audit import Audit, audit_rows
from sft_core.data.gates import check_source
from sft_core.data.token_rows import TokenRows
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.fingerprint import Placement
from sft_core.store.ledger import Ledger, Rejection, read_rejections
from sft_core.store.parts import Part, parts_of_rows, rows_in_files
from sft_core.store.records import ShardRef


@dataclass(frozen=True, slots=True)
class ShardFiles(Placement):
    """Where the rows of each shard were read from. Renaming a file changes no data set, so this is in no key."""

    names: tuple[str, ...]
    """[shards] the file (or the first of several), by its name: for people who look for a row."""
    records: tuple[str, ...]
    """[shards] the Arrow file with its records, below the store's root."""
    shared: tuple[tuple[Part, ...], ...] = ()
    """[shards] the parts of a shard that small files share, none of another; empty if no shard is shared."""
    behind: tuple[ArtifactRef, ...] = ()
    """The artifacts that each shard went through, shard after shard: its examples, these with their images where it
    has some, and its rendered text. Shards of equal content share later artifacts: only this list tells which is
    whose."""

    @classmethod
    def of(cls, shards: Iterable[ShardRef]) -> Self:
        """Of the shards that a recipe's sources were cut into, in order."""
        shards = list(shards)
        return cls(
            tuple(shard.file for shard in shards),
            tuple(shard.path for shard in shards),
            tuple(shard.parts for shard in shards),
        )

    def with_stages(self, *stages: Sequence[ArtifactRef]) -> Self:
        """Add the artifacts that the shards went through, of each stage in order; equal ones in a row count once."""
        by_shard = (dict.fromkeys(refs) for refs in zip(*stages, strict=True))
        return replace(self, behind=tuple(ref for refs in by_shard for ref in refs))

    @property
    def parts(self) -> tuple[tuple[Part, ...], ...]:
        """[shards] as `shared`, always one for each shard."""
        return self.shared or ((),) * len(self.names)


def ledger_of(store: ArtifactStore, shards: Sequence[ArtifactRef]) -> Ledger:
    """The sum of all shards' ledgers."""
    return Ledger.total(manifest.ledger for ref in shards if (manifest := store.manifest(ref)).ledger)


def rejections_of(store: ArtifactStore, shards: Sequence[ArtifactRef], files: ShardFiles) -> Iterator[Rejection]:
    """All rows rejected so far, in order, with the names of their files."""
    for ref, file, parts in zip(shards, files.names, files.parts, strict=True):
        rejections = read_rejections(store.path(ref) / "rejected.jsonl")
        if parts:
            yield from _rejections_of_parts(rejections, parts)
        else:
            yield from (rejection.model_copy(update={"file": file}) for rejection in rejections)


def _rejections_of_parts(rejections: Sequence[Rejection], parts: Sequence[Part]) -> Iterator[Rejection]:
    """Name each row as its file does, file after file."""
    rows = np.array([rejection.row for rejection in rejections], np.int64)
    part_of_row, row_in_file = parts_of_rows(parts, rows), rows_in_files(parts, rows)
    for index in np.argsort(part_of_row, kind="stable").tolist():
        file = parts[part_of_row[index]].file
        yield rejections[index].model_copy(update={"file": file, "row": int(row_in_file[index])})


def check_sources(store: ArtifactStore, detected: Sequence[ArtifactRef], files: ShardFiles) -> None:
    """Stop where a source has no usable row, before anything is done with the rows of the others.

    Raises:
        DataError: with the reasons of the rejections.
    """
    shards: dict[str, list[tuple[ArtifactRef, str, str, tuple[Part, ...]]]] = {}
    for ref, file, records, parts in zip(detected, files.names, files.records, files.parts, strict=True):
        shards.setdefault(store.manifest(ref).facts["source"], []).append((ref, file, records, parts))
    for source, own in shards.items():
        refs, names, tables, shared = zip(*own, strict=True)
        check_source(source, ledger_of(store, refs), rejections_of(store, refs, ShardFiles(names, tables, shared)))


def audit_of(store: ArtifactStore, tokens: Sequence[ArtifactRef], files: ShardFiles) -> Audit:
    """What the gates measure, of all tokenized shards."""
    rows = TokenRows.read([(store.manifest(ref).facts["source"], store.path(ref)) for ref in tokens], files.parts)
    return audit_rows(ledger_of(store, tokens), rejections_of(store, tokens, files), rows)
