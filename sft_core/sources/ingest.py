"""Read one piece and write its rows as shards of records, each with a digest of its content."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sft_core.errors import DataError
from sft_core.file_digests import file_stamp
from sft_core.fingerprint import digest_bytes
from sft_core.ledger import Ledger
from sft_core.records import RECORDS, StageOutcome
from sft_core.selection import hashes_of, row_digest
from sft_core.sources.pieces import Piece
from sft_core.sources.readers import Row, read_rows
from sft_core.sources.row_text import dump_row, rename_columns
from sft_core.tables import arrow_writer

Record = tuple[int, int | None, bytes]
"""Row, line, JSON text."""
BATCH_ROWS = 1024
BATCH_BYTES = 1 << 23
MAX_COLUMNS_SEEN = 200


def ingest(piece: Piece, folder: Path) -> StageOutcome:
    """Read a piece and write `records-<number>.arrow` (`RECORDS`) for each `shard_rows` rows into `folder`.

    Beside each lies `records-<number>.npy`, the 64-bit hashes of its rows, from which a selection is drawn.

    The facts are `shards` (number in the piece, path in the folder, rows, content digest), `rows` and `columns_seen`
    (names that the file gave; of very many the first, and always those that are mapped).

    Raises:
        DataError: if the file is broken, or is not the one that was digested.
    """
    columns_seen: set[str] = set()
    records = _records(piece, columns_seen)
    shards = [_write_shard(shard, number, folder) for number, shard in enumerate(_cut(records, piece.shard_rows))]
    rows = sum(shard["rows"] for shard in shards)
    if file_stamp(piece.path) != piece.stamp or (piece.range and rows != piece.range.rows):
        raise DataError(f"{piece.path}: the file changed while it was being read; run again when nobody writes to it")
    facts = {"shards": shards, "rows": rows, "columns_seen": sorted(columns_seen)}
    return StageOutcome(facts=facts, ledger=Ledger())


def _records(piece: Piece, columns_seen: set[str]) -> Iterator[Record]:
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
        yield row, line, text


def _cut(records: Iterator[Record], shard_rows: int) -> Iterator[Iterator[Record]]:
    """Group records lazily; each group is to be used up before the next one."""
    for first in records:
        yield itertools.chain([first], itertools.islice(records, shard_rows - 1))


def _write_shard(records: Iterator[Record], number: int, folder: Path) -> dict[str, Any]:
    path = folder / f"records-{number:05d}.arrow"
    digests: list[bytes] = []
    lines: list[bytes] = []
    with arrow_writer(path, RECORDS) as writer:
        for batch in _batches(records):
            digests += [row_digest(row, text) for row, _, text in batch]
            lines += [b"%d," % (line or 0) for _, line, _ in batch]
            columns = zip(*batch, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, RECORDS, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=RECORDS))
    np.save(path.with_suffix(".npy"), hashes_of(digests))
    # rejections and traces name lines, so rows that moved to other lines are another content
    content_digest = digest_bytes([*digests, *lines])
    return {"number": number, "path": path.name, "rows": len(digests), "content_digest": content_digest}


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    """Group records so that neither many nor long ones fill the memory."""
    batch: list[Record] = []
    num_bytes = 0
    for record in records:
        batch.append(record)
        num_bytes += len(record[2])
        if len(batch) == BATCH_ROWS or num_bytes >= BATCH_BYTES:
            yield batch
            batch, num_bytes = [], 0
    if batch:
        yield batch
