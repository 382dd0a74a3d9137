"""Read one piece or group and write its rows as shards of records, each with a digest of its content."""

import itertools
from collections.abc import Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sft_core.data.selection import hashes_of, row_digest
from sft_core.data.sources.group import Group
from sft_core.data.sources.pieces import FilePiece
from sft_core.data.sources.readers import Row, read_rows
from sft_core.data.sources.row_text import dump_row, rename_columns
from sft_core.errors import DataError
from sft_core.store.file_digests import file_stamp
from sft_core.store.fingerprint import digest_bytes
from sft_core.store.ledger import Ledger
from sft_core.store.records import RECORDS, StageOutcome
from sft_core.store.tables import arrow_writer

Record = tuple[int, int, int | None, bytes]
"""Position of the file among the members of a group, row in the file, line in the file, JSON text."""
BATCH_ROWS = 1024
BATCH_BYTES = 1 << 23
MAX_COLUMNS_SEEN = 200


def ingest(piece: FilePiece | Group, folder: Path) -> StageOutcome:
    """Read a piece or a group and write `records-<number>.arrow` (`RECORDS`) for each `shard_rows` rows into `folder`.

    Each has a `records-<number>.npy` next to it with the 64-bit hashes of its rows, from which a selection is drawn.

    The facts are `shards`, `rows` and `columns_seen`. Each of the `shards` has its number in the piece, its path in the
    folder, its rows and its content digest; if it belongs to a group, also `parts`: the position of each file in the
    group, its first row in the shard, and the number of its rows. `columns_seen` has the column names in the files; if
    there are very many, only the first ones and all that are mapped.

    Raises:
        DataError: if the file is broken, or has changed since it was digested.
    """
    columns_seen: set[str] = set()
    records = itertools.chain.from_iterable(
        _records(member, number, columns_seen) for number, member in enumerate(piece.members)
    )
    cut = enumerate(_cut(records, piece.members[0].shard_rows))
    shards = [_write_shard(shard, number, folder, isinstance(piece, Group)) for number, shard in cut]
    rows = sum(shard["rows"] for shard in shards)
    facts = {"shards": shards, "rows": rows, "columns_seen": sorted(columns_seen)}
    return StageOutcome(facts=facts, ledger=Ledger())


def _records(piece: FilePiece, number: int, columns_seen: set[str]) -> Iterator[Record]:
    row = piece.first_row - 1
    mapped = frozenset(piece.columns.values())
    rows: Iterable[Row] = itertools.islice(read_rows(piece), piece.range.rows if piece.range else None)
    for row, (line, value, text) in enumerate(rows, piece.first_row):
        if isinstance(value, dict):
            if not columns_seen.issuperset(value):
                room = MAX_COLUMNS_SEEN - len(columns_seen)
                columns_seen |= mapped.intersection(value) | set(itertools.islice(value, max(room, 0)))
            if mapped:
                text = dump_row(rename_columns(value, piece.columns)) or text
        text = text or dump_row(value)
        assert text is not None
        yield number, row, line, text
    if file_stamp(piece.path) != piece.stamp or (piece.range and row + 1 - piece.first_row != piece.range.rows):
        raise DataError(
            f"{piece.path}: the file changed while it was being read; run again when no process writes to it"
        )


def _cut(records: Iterator[Record], shard_rows: int) -> Iterator[Iterator[Record]]:
    """Group records lazily; each group must be used up before the next one is requested."""
    for first in records:
        yield itertools.chain([first], itertools.islice(records, shard_rows - 1))


def _write_shard(records: Iterator[Record], number: int, folder: Path, has_parts: bool) -> dict[str, Any]:
    """Write a shard and return its facts. Its rows are numbered consecutively, beginning with the number of the first
    row in its file (`sft_core.store.parts`)."""
    path = folder / f"records-{number:05d}.arrow"
    digests: list[bytes] = []
    lines: list[bytes] = []
    parts: list[list[int]] = []
    with arrow_writer(path, RECORDS) as writer:
        for batch in _batches(records):
            _count_parts(parts, batch)
            first = parts[0][1] + len(digests)
            digests += [row_digest(row, text) for _, row, _, text in batch]
            lines += [b"%d," % (line or 0) for _, _, line, _ in batch]
            columns = (range(first, first + len(batch)), *itertools.islice(zip(*batch, strict=True), 2, None))
            arrays = [pa.array(values, field.type) for values, field in zip(columns, RECORDS, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=RECORDS))
    np.save(path.with_suffix(".npy"), hashes_of(digests))
    # rejections and traces name lines, so the same rows on other lines count as other content
    content_digest = digest_bytes([*digests, *lines])
    facts = {"number": number, "path": path.name, "rows": len(digests), "content_digest": content_digest}
    return facts | ({"parts": parts} if has_parts else {})


def _count_parts(parts: list[list[int]], batch: list[Record]) -> None:
    """Add a batch to the entries `[position in the group, first row, rows]`, one for each file."""
    for member, grouped in itertools.groupby(batch, itemgetter(0)):
        records = list(grouped)
        if not parts or parts[-1][0] != member:
            parts.append([member, records[0][1], 0])
        parts[-1][2] += len(records)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Group records into batches that are limited in number and in bytes, so that they fit into memory."""
    batch: list[Record] = []
    num_bytes = 0
    for record in records:
        batch.append(record)
        num_bytes += len(record[3])
        if len(batch) == BATCH_ROWS or num_bytes >= BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch
