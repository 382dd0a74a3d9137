"""The same rows as files of every kind, and what is read from a file."""

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sft_core.data.sources import LocatedSource, SourceSpec, ingest_all, locate_sources
from sft_core.store.file_digests import FileDigests
from sft_core.store.records import ShardRef
from sft_core.store.tables import iterate_rows

Rows = list[dict[str, Any]]


def as_jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_delimited(rows: Rows, delimiter: str) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: Rows | pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def as_arrow(rows: Rows | pa.Table, new: Callable[..., Any] = pa.ipc.new_file) -> bytes:
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
    sink = pa.BufferOutputStream()
    with new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)
    return bytes(sink.getvalue().to_pybytes())


AS_FILE: dict[str, Callable[[Rows], bytes]] = {
    "jsonl": as_jsonl,
    "ndjson": as_jsonl,
    "json": lambda rows: json.dumps(rows, indent=1, ensure_ascii=False).encode(),
    "csv": lambda rows: as_delimited(rows, ","),
    "tsv": lambda rows: as_delimited(rows, "\t"),
    "parquet": as_parquet,
    "arrow": as_arrow,
    "stream.arrow": lambda rows: as_arrow(rows, pa.ipc.new_stream),
    "txt": lambda rows: "".join(row["text"] + "\n" for row in rows).encode(),
}
"""By ending; all but `txt` for rows of any columns of text."""

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": partial(gzip.compress, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda content: pa.compress(content, codec="zstd", asbytes=True),
}


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def locate(path: Path, **spec: Any) -> LocatedSource:
    spec = {"name": "train", **spec}
    return locate_sources((SourceSpec(path=str(path), **spec),), FileDigests(path.parent / ".digests.sqlite"))[0]


def shards_of(path: Path, **spec: Any) -> tuple[Path, list[ShardRef]]:
    """Ingest one source; returns the root and its shards."""
    root = path.parent / f".root-{path.name}"
    while root.exists():
        root = root.with_name(root.name + "-")
    return root, ingest_all([locate(path, **spec)], root)


def records_of(path: Path, **spec: Any) -> list[dict[str, Any]]:
    """The rows of `RECORDS` of one source."""
    root, shards = shards_of(path, **spec)
    return [row for shard in shards for row in iterate_rows(shard.arrow_file(root))]


def values_of(path: Path, **spec: Any) -> list[Any]:
    """What the records of one source stand for."""
    return [orjson.loads(row["record"]) for row in records_of(path, **spec)]
