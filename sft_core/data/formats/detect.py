"""Detect the format of every row of a shard, and split the shard into examples and rejections."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from sft_core.data.formats.config import FormatsConfig
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.data.formats.row_reader import ReadRow, RowReader
from sft_core.data.formats.verdict import verdict_of
from sft_core.data.selection import select_rows
from sft_core.data.transform import load_transform
from sft_core.store.ledger import Ledger, Rejection, count_reasons, write_rejections
from sft_core.store.records import EXAMPLES, ShardRef, StageOutcome
from sft_core.store.stages import DETECT_FORMATS
from sft_core.store.tables import read_table, write_arrow

ROWS_AT_A_TIME = 1024
"""Number of rows that are Python objects at a time."""

Place = tuple[int, int | None]
"""(row, line) of a row."""


def detect(config: FormatsConfig, shard: ShardRef, records: Path, folder: Path) -> StageOutcome:
    """Read a shard's records; write `examples.arrow` and `rejected.jsonl` into `folder`.

    Rows that the shard's selection skips, or for which its transform returns None, are only counted.

    Args:
        config: The `formats` section.
        shard: The shard, with the selection of its rows and the transform that is applied to them first.
        records: Path of its Arrow file (`RECORDS`).
        folder: The folder to write to.
    """
    reader = RowReader(config, shard.split, load_transform(shard.transform) if shard.transform else None)
    examples: list[tuple[Place, ReadRow]] = []
    rejections: list[Rejection] = []
    table = read_table(records)
    for row, line, record in _iterate(select_rows(shard.selection, table, shard.parts)):
        try:
            read = reader.read(record)
        except RowRejectedError as error:
            reason = str(error).encode("utf-8", "replace").decode()  # it may quote a name that is not Unicode
            rejections.append(Rejection.of(shard.source, {"row": row, "line": line}, DETECT_FORMATS, reason, record))
        else:
            if read is not None:
                examples.append(((row, line), read))
    write_arrow(folder / "examples.arrow", _table_of(examples))
    write_rejections(folder / "rejected.jsonl", rejections)
    formats = Counter(read.format for _, read in examples)
    facts = {
        "source": shard.source,
        **verdict_of(reader.matches, formats),
        "rows_with_images": reader.num_with_images,
        "rows_with_image_files": reader.num_with_image_files,
    }
    return StageOutcome(ledger=_ledger_of(len(table), examples, rejections), facts=facts)


def _iterate(records: pa.Table) -> Iterator[tuple[int, int | None, str]]:
    for batch in records.to_batches(max_chunksize=ROWS_AT_A_TIME):
        yield from zip(*(batch[name].to_pylist() for name in ("row", "line", "record")), strict=True)


def _table_of(examples: list[tuple[Place, ReadRow]]) -> pa.Table:
    """Build the table column by column, which is many times faster than row by row."""
    columns = zip(*((*place, *read) for place, read in examples), strict=True) if examples else ([] for _ in EXAMPLES)
    return pa.table([pa.array(c, field.type) for c, field in zip(columns, EXAMPLES, strict=True)], schema=EXAMPLES)


def _ledger_of(rows_in: int, examples: list[tuple[Place, ReadRow]], rejections: list[Rejection]) -> Ledger:
    splits = Counter(read.split for _, read in examples)
    return Ledger(
        rows_in=rows_in,
        rows_train=splits["train"],
        rows_eval=splits["eval"],
        rows_rejected=len(rejections),
        rows_left_out=rows_in - len(examples) - len(rejections),
        rejected_by_reason=count_reasons(rejections),
    )
