"""Accounts of all shards combined: the ledger, the rejections, and the measurements for the gates."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np

from sft_core.data.audit import Audit, audit_rows
from sft_core.data.formats import Verdict, total_verdict
from sft_core.data.gates import check_source
from sft_core.data.token_rows import TokenRows
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.fingerprint import Placement
from sft_core.store.ledger import Ledger, Rejection, read_rejections
from sft_core.store.parts import Part, parts_of_rows, rows_in_files
from sft_core.store.records import ShardRef


@dataclass(frozen=True, slots=True)
class ShardFiles(Placement):
    """Files from which the rows of each shard were read. Renaming a file changes no data set, so no cache key includes
    this."""

    names: tuple[str, ...]
    """[shards] Name of the file (or of the first of several), for people who look for a row."""
    records: tuple[str, ...]
    """[shards] Path of the Arrow file with the shard's records, relative to the store's root."""
    shared: tuple[tuple[Part, ...], ...] = ()
    """[shards] Parts of a shard that small files share; an empty tuple for any other shard. Empty if no shard is
    shared."""
    behind: tuple[ArtifactRef, ...] = ()
    """Artifacts that each shard passed through, shard after shard: its examples, its examples with their images if it
    has some, and its rendered text. Shards with equal content share later artifacts, so only this list shows which
    artifacts belong to which shard."""

    @classmethod
    def of(cls, shards: Iterable[ShardRef]) -> Self:
        """Collect the files of the shards that a recipe's sources were cut into, in order."""
        shards = list(shards)
        return cls(
            tuple(shard.file for shard in shards),
            tuple(shard.path for shard in shards),
            tuple(shard.parts for shard in shards),
        )

    def with_stages(self, *stages: Sequence[ArtifactRef]) -> Self:
        """Return a copy with the artifacts that the shards passed through; an artifact is listed once per shard.

        Args:
            stages: [shards] each; the artifacts of one stage after the other.
        """
        by_shard = (dict.fromkeys(refs) for refs in zip(*stages, strict=True))
        return replace(self, behind=tuple(ref for refs in by_shard for ref in refs))

    @property
    def parts(self) -> tuple[tuple[Part, ...], ...]:
        """[shards] Same as `shared`, but with an entry for each shard even if no shard is shared."""
        return self.shared or ((),) * len(self.names)


@dataclass(frozen=True, slots=True)
class Origins:
    """Origin of each shard, as far as packing needs it."""

    repeats: tuple[float, ...]
    """[shards] Number of times that the data set gets each train row of a shard."""
    records: tuple[str, ...]
    """[shards] Digests of the records, which are stored with held-out prompts."""
    files: ShardFiles
    """Files that the rows were read from; not part of the cache key."""

    @classmethod
    def of(cls, shards: Sequence[ShardRef], *stages: Sequence[ArtifactRef]) -> Self:
        """Describe shards, and the artifacts of the stages that they passed through, in order."""
        return cls(
            tuple(shard.repeat for shard in shards),
            tuple(shard.content_digest for shard in shards),
            ShardFiles.of(shards).with_stages(*stages),
        )

    @property
    def behind(self) -> tuple[ArtifactRef, ...]:
        """Artifacts that the shards passed through, which the data set's manifest records."""
        return self.files.behind


class Shards:
    """Artifacts of one stage, one for each shard of the sources, and the combined records of their manifests."""

    def __init__(self, store: ArtifactStore, refs: Sequence[ArtifactRef], files: ShardFiles) -> None:
        """Keep the references; manifests are read when they are first needed.

        Args:
            store: The store that holds the artifacts.
            refs: [shards] The artifacts, in order.
            files: The files that their rows were read from.
        """
        self.store, self.refs, self.files = store, list(refs), files

    @cached_property
    def ledger(self) -> Ledger:
        """Sum of the ledgers of all shards."""
        return ledger_of(self.store, self.refs)

    def rejections(self) -> Iterator[Rejection]:
        """Yield all rows rejected so far, in order, each with the name of its file."""
        return rejections_of(self.store, self.refs, self.files)

    def checked(self) -> Self:
        """Check that each source has a usable row, and return this object.

        Raises:
            DataError: if a source has none; the message lists the reasons of its rejections.
        """
        check_sources(self.store, self.refs, self.files)
        return self

    def verdicts(self) -> dict[str, Verdict]:
        """Return the format of each source and the reason for it, over all its shards."""
        by_source: dict[str, list[dict[str, Any]]] = {}
        for ref in self.refs:
            facts = self.store.manifest(ref).facts
            by_source.setdefault(facts["source"], []).append(facts)
        return {source: total_verdict(of_source) for source, of_source in by_source.items()}

    def audit(self) -> Audit:
        """Take the measurements for the gates; only for tokenized shards."""
        return audit_of(self.store, self.refs, self.files)


def ledger_of(store: ArtifactStore, shards: Sequence[ArtifactRef]) -> Ledger:
    """Return the sum of all shards' ledgers."""
    return Ledger.total(manifest.ledger for ref in shards if (manifest := store.manifest(ref)).ledger)


def rejections_of(store: ArtifactStore, shards: Sequence[ArtifactRef], files: ShardFiles) -> Iterator[Rejection]:
    """Yield all rows rejected so far, in order, each with the name of its file."""
    for ref, file, parts in zip(shards, files.names, files.parts, strict=True):
        rejections = read_rejections(store.path(ref) / "rejected.jsonl")
        if parts:
            yield from _rejections_of_parts(rejections, parts)
        else:
            yield from (rejection.model_copy(update={"file": file}) for rejection in rejections)


def _rejections_of_parts(rejections: Sequence[Rejection], parts: Sequence[Part]) -> Iterator[Rejection]:
    """Yield the rejections file after file, each with the name of its file and the row's number in that file."""
    rows = np.array([rejection.row for rejection in rejections], np.int64)
    part_of_row, row_in_file = parts_of_rows(parts, rows), rows_in_files(parts, rows)
    for index in np.argsort(part_of_row, kind="stable").tolist():
        file = parts[part_of_row[index]].file
        yield rejections[index].model_copy(update={"file": file, "row": int(row_in_file[index])})


def check_sources(store: ArtifactStore, detected: Sequence[ArtifactRef], files: ShardFiles) -> None:
    """Check that each source has a usable row, before the rows of any source are processed further.

    Raises:
        DataError: if a source has none; the message lists the reasons of its rejections.
    """
    shards: dict[str, list[tuple[ArtifactRef, str, str, tuple[Part, ...]]]] = {}
    for ref, file, records, parts in zip(detected, files.names, files.records, files.parts, strict=True):
        shards.setdefault(store.manifest(ref).facts["source"], []).append((ref, file, records, parts))
    for source, own in shards.items():
        refs, names, tables, shared = zip(*own, strict=True)
        check_source(source, ledger_of(store, refs), rejections_of(store, refs, ShardFiles(names, tables, shared)))


def audit_of(store: ArtifactStore, tokens: Sequence[ArtifactRef], files: ShardFiles) -> Audit:
    """Take the measurements for the gates over all tokenized shards."""
    rows = TokenRows.read([(store.manifest(ref).facts["source"], store.path(ref)) for ref in tokens], files.parts)
    return audit_rows(ledger_of(store, tokens), rejections_of(store, tokens, files), rows)
