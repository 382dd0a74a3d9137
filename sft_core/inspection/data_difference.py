"""Comparison of two prepared data sets: rows per source, splits, row lengths, formats and rejections.

Rows are compared as they were read from their sources, before format conversion and tokenization, so that the
difference shows what was changed in the data. Records of shards that both data sets share are not read: after an append
to a source of millions of rows, one shard is read. Hashing the others takes about a second for a million rows.
"""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.errors import RecipeError
from sft_core.inspection import Lineage, RowTable, ShardLineage
from sft_core.inspection.row_difference import RowChanges, SourceRows, match_rows
from sft_core.store.parts import Part
from sft_core.store.records import RECORDS
from sft_core.store.tables import read_columns

EXAMPLES = 5
"""Number of example rows listed for each kind of change."""
CONTENT_BYTES = 16
ROW_BITS = 40
SPLITS = ("train", "eval")
Pair = tuple[Any, Any]
"""A value before and after."""


@dataclass(frozen=True, slots=True)
class SourceDifference:
    """Number of rows of one source by kind of change (`sft_core.inspection.row_difference`)."""

    rows: Pair
    """Number of rows."""
    same: int
    """Rows with the same content at the same place."""
    moved: int
    """Rows with the same content at another place."""
    changed: int
    """Rows with different content at the same place."""
    added: int
    removed: int
    examples: dict[str, list[str]]
    """Kind of change → its first rows, each as file, row and line: the place after the change, or the old place of a
    removed row."""

    @property
    def is_same(self) -> bool:
        """True if the source has the same rows, possibly at other places."""
        return not (self.changed or self.added or self.removed)


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of a split's rows in tokens before truncation. Quantiles are interpolated linearly."""

    rows: int
    """Number of tokenized rows, including duplicates that packing drops."""
    mean: float
    p50: float
    p95: float
    longest: int
    truncated: float
    """Share of rows that lost tokens to truncation, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class DataDifference:
    """The differences between two prepared data sets."""

    sources: dict[str, SourceDifference]
    splits: dict[str, dict[str, Pair]]
    """Split → `rows`, `blocks`, `tokens` and `digest`; None for a data set without that split."""
    lengths: dict[str, tuple[Lengths | None, Lengths | None]]
    """Split → row lengths before and after; None for a data set without tokenized rows in that split."""
    formats: dict[str, Pair]
    """Format → number of rows."""
    rejected: dict[str, Pair]
    """Reason for rejection → number of rows."""

    @property
    def is_same(self) -> bool:
        """True if both data sets have the same tokens in the same order."""
        return all(before == after for facts in self.splits.values() for before, after in [facts["digest"]])

    def as_json(self) -> dict[str, Any]:
        """Return the differences as JSON values, with `is_same`."""
        return {"is_same": self.is_same, **asdict(self)}


def difference_of(before: Lineage, after: Lineage) -> DataDifference:
    """Compare two data sets.

    Args:
        before: The earlier data set.
        after: The later data set; it may be in another store.

    Raises:
        RecipeError: if records that have to be compared are no longer in the store.
    """
    sources = dict.fromkeys(shard.source for lineage in (before, after) for shard in lineage.shards)
    tables = [RowTable.read(lineage) for lineage in (before, after)]
    return DataDifference(
        sources={source: _difference_of_source(source, before, after) for source in sources},
        splits={
            split: {
                name: (before.splits.get(split, {}).get(name), after.splits.get(split, {}).get(name))
                for name in ("rows", "blocks", "tokens", "digest")
            }
            for split in SPLITS
            if split in before.splits or split in after.splits
        },
        lengths={
            split: pair
            for split in SPLITS
            if (pair := (_lengths(tables[0], split), _lengths(tables[1], split))) != (None, None)
        },
        formats=_pairs(*(_formats(lineage) for lineage in (before, after))),
        rejected=_pairs(*(_rejected(lineage) for lineage in (before, after))),
    )


@dataclass(frozen=True, slots=True)
class _Reading:
    """Rows of a source in one data set, without those of shards that both data sets share."""

    files: tuple[str, ...]
    """File of each shard, shape [shards]."""
    offsets: npt.NDArray[np.int64]
    """Position of each shard's first row, and the number of rows at the end, shape [shards + 1]."""
    row: npt.NDArray[np.int64]
    """Number of each row in its file, shape [rows]."""
    line: pa.Int64Array
    """Line of each row in its file, or null, shape [rows]."""
    content: pa.FixedSizeBinaryArray
    """Hash of each row's record, shape [rows]."""

    def named(self, positions: npt.NDArray[np.int64]) -> list[str]:
        """Name the first of some rows by file, row and line, at most `EXAMPLES` of them."""
        return [self._name(int(position)) for position in positions[:EXAMPLES]]

    def _name(self, position: int) -> str:
        file = self.files[int(np.searchsorted(self.offsets, position, side="right")) - 1]
        line = self.line[position].as_py()
        return f"{file} row {self.row[position]}" + (f" (line {line})" if line is not None else "")


def _difference_of_source(source: str, before: Lineage, after: Lineage) -> SourceDifference:
    shards = [[shard for shard in lineage.shards if shard.source == source] for lineage in (before, after)]
    shared = {_whole(shard) for shard in shards[0]} & {_whole(shard) for shard in shards[1]}
    num_shared = sum(shard.rows_in for shard in shards[1] if _whole(shard) in shared)
    old, new = (_read([shard for shard in side if _whole(shard) not in shared]) for side in shards)
    found = match_rows(*_codes(old, new))
    return SourceDifference(
        rows=(sum(shard.rows_in for shard in shards[0]), sum(shard.rows_in for shard in shards[1])),
        same=num_shared + found.num_same,
        moved=found.num_moved,
        changed=len(found.changed),
        added=len(found.added),
        removed=len(found.removed),
        examples=_examples(found, old, new),
    )


def _whole(shard: ShardLineage) -> tuple[str, str, Part | None]:
    """Return a key of a shard: shards with equal keys have the same rows at the same places."""
    return shard.file, str(shard.records), shard.part


def _read(shards: Sequence[ShardLineage]) -> _Reading:
    """Read one shard at a time, so that the records of at most one are in memory."""
    tables = itertools.groupby(shards, key=lambda shard: shard.records)
    read = [own for records, sharing in tables for own in _read_shards(records, list(sharing))]
    return _Reading(
        files=tuple(shard.file for shard in shards),
        offsets=np.cumsum([0, *(len(own.row) for own in read)]),
        row=np.concatenate([np.empty(0, np.int64), *(own.row for own in read)]),
        line=pa.concat_arrays([pa.array([], pa.int64()), *(own.line for own in read)]),
        content=pa.concat_arrays([pa.array([], pa.binary(CONTENT_BYTES)), *(own.content for own in read)]),
    )


def _read_shards(records: Path, shards: Sequence[ShardLineage]) -> list[_Reading]:
    """Read the shards that are stored in one table of records."""
    try:
        table = read_columns(records, RECORDS, RECORDS.names)
    except FileNotFoundError as error:
        raise RecipeError(
            f"the records of '{shards[0].source}' that one of the data sets was made from are not in the store any "
            "more: its rows cannot be compared"
        ) from error
    return [_reading_of(shard, shard.own(table)) for shard in shards]


def _reading_of(shard: ShardLineage, table: pa.Table) -> _Reading:
    return _Reading(
        files=(shard.file,),
        offsets=np.array([0, len(table)]),
        row=table["row"].to_numpy(),
        line=table["line"].combine_chunks(),
        content=pa.array(list(_hashes(table["record"])), pa.binary(CONTENT_BYTES)),
    )


def _hashes(records: pa.ChunkedArray) -> Iterator[bytes]:
    """Yield a BLAKE2b hash of 128 bits per record, computed on the Arrow buffer without copying."""
    for chunk in records.chunks:
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1].tolist()
        content = memoryview(data or b"")
        for start, end in itertools.pairwise(ends):
            yield hashlib.blake2b(content[start:end], digest_size=CONTENT_BYTES).digest()


def _codes(old: _Reading, new: _Reading) -> tuple[SourceRows, SourceRows]:
    """Encode places and contents of both data sets as integers: equal values get equal codes."""
    files = {file: number for number, file in enumerate(dict.fromkeys((*old.files, *new.files)))}
    content = pa.concat_arrays([old.content, new.content]).dictionary_encode().indices.to_numpy().astype(np.int64)
    sides = []
    for side, own in ((old, content[: len(old.row)]), (new, content[len(old.row) :])):
        numbers = np.array([files[file] for file in side.files], np.int64)
        sides.append(SourceRows(place=(np.repeat(numbers, np.diff(side.offsets)) << ROW_BITS) + side.row, content=own))
    return sides[0], sides[1]


def _examples(found: RowChanges, old: _Reading, new: _Reading) -> dict[str, list[str]]:
    named = {
        "changed": new.named(found.changed),
        "added": new.named(found.added),
        "removed": old.named(found.removed),
    }
    return {kind: names for kind, names in named.items() if names}


def _lengths(table: RowTable, split: str) -> Lengths | None:
    own = table.is_train == (split == "train")
    if not own.any():
        return None
    lengths = (table.tokens + table.tokens_truncated)[own]
    p50, p95 = np.quantile(lengths, [0.5, 0.95]).tolist()
    truncated = float((table.tokens_truncated[own] > 0).mean())
    return Lengths(len(lengths), float(lengths.mean()), p50, p95, int(lengths.max()), truncated)


def _formats(lineage: Lineage) -> Counter[str]:
    counts: Counter[str] = Counter()
    for shard in lineage.shards:
        counts.update(shard.formats)
    return counts


def _rejected(lineage: Lineage) -> Counter[str]:
    ledger = lineage.manifest.ledger
    return Counter(ledger.rejected_by_reason if ledger else {})


def _pairs(before: Counter[str], after: Counter[str]) -> dict[str, Pair]:
    return {name: (before[name], after[name]) for name in sorted({*before, *after})}
