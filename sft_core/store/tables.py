"""Arrow files between the stages: compressed with zstd, written batch by batch, and read through a memory map."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

COMPRESSION_LEVEL = 1
"""zstd level. On text and token ids, level 3 is a tenth smaller and takes half as long again; level 5 is 4 % smaller
still, and takes three times as long. With level 1, all tables of a data set together are less than three times as large
as its source."""


def write_table(path: Path, schema: pa.Schema, rows: list[dict[str, Any]]) -> None:
    """Write rows as one Arrow IPC file; keys that are not in the schema are skipped."""
    write_arrow(path, pa.Table.from_pylist(rows, schema=schema))


def write_arrow(path: Path, table: pa.Table) -> None:
    """Write a table as one Arrow IPC file."""
    with arrow_writer(path, table.schema) as writer:
        writer.write_table(table)


@contextlib.contextmanager
def arrow_writer(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """Open an Arrow IPC file to write batches or tables to."""
    options = pa.ipc.IpcWriteOptions(compression=pa.Codec("zstd", compression_level=COMPRESSION_LEVEL))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema, options=options) as writer:
        yield writer


def read_table(path: Path) -> pa.Table:
    """Read a table that `write_table` or `write_arrow` wrote."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source).read_all()


def read_columns(path: Path, schema: pa.Schema, names: Sequence[str]) -> pa.Table:
    """Read some columns of a table with a known schema, in the order of the schema; the others are not decompressed."""
    options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name) for name in names])
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_file(source, options=options).read_all()


def iterate_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of an Arrow file as dictionaries."""
    for batch in read_table(path).to_batches(max_chunksize=1024):
        yield from batch.to_pylist()
