"""Cut sources into shards of records, each with a digest of its content."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from sft_core.errors import DataError
from sft_core.fingerprint import digest_bytes
from sft_core.ledger import Ledger
from sft_core.records import RECORDS, StageOutcome
from sft_core.sources.config import SourceSpec
from sft_core.sources.locate import LocatedSource
from sft_core.sources.readers import read_rows
from sft_core.tables import write_table

Record = dict[str, Any]


def ingest(sources: tuple[LocatedSource, ...], folder: Path) -> StageOutcome:
    """Read sources and write one Arrow file per shard into `folder`.

    The facts list the shards (`shards`: source, split, number, path in the folder, rows, content digest) and, per
    source, the files with the rows that each gave (`files`), so that a row number leads back to a file.

    Raises:
        DataError: if a file is broken, a source has no rows, or a mapped column is in no row of its source.
    """
    shards: list[dict[str, Any]] = []
    files: dict[str, list[dict[str, Any]]] = {}
    for source in sources:
        rows_by_file: list[dict[str, Any]] = []
        records = _rename(_records(source, rows_by_file), source)
        for number, shard in enumerate(_cut(records, source.spec.shard_rows)):
            path = f"{source.name}-{number:05d}.arrow"
            write_table(folder / path, RECORDS, shard)
            shards.append(_describe(source, number, path, shard))
        files[source.name] = rows_by_file
        if sum(file["rows"] for file in rows_by_file) == 0:
            raise DataError(f"source '{source.name}': no row in {', '.join(file['path'] for file in rows_by_file)}")
    rows_in = sum(shard["rows"] for shard in shards)
    return StageOutcome(facts={"shards": shards, "files": files, "rows_in": rows_in}, ledger=Ledger())


def _describe(source: LocatedSource, number: int, path: str, shard: list[Record]) -> dict[str, Any]:
    return {
        "source": source.name,
        "split": source.spec.split,
        "number": number,
        "path": path,
        "rows": len(shard),
        "content_digest": _content_digest(shard),
    }


def _content_digest(shard: list[Record]) -> str:
    """Over row numbers and contents; a row's number is part of what it is, because traces name it."""
    return digest_bytes(
        part for row in shard for part in (b"%d %d " % (row["row"], len(row["record"])), row["record"].encode("utf-8"))
    )


def _cut(records: Iterable[Record], shard_rows: int) -> Iterator[list[Record]]:
    iterator = iter(records)
    while shard := list(itertools.islice(iterator, shard_rows)):
        yield shard


def _records(source: LocatedSource, rows_by_file: list[dict[str, Any]]) -> Iterator[tuple[int, int | None, Any]]:
    """Number the rows of all files of a source from 0, and note how many each file gave."""
    row_number = 0
    for file in source.files:
        entry = {"path": str(file.path), "digest": file.digest, "first_row": row_number, "rows": 0}
        rows_by_file.append(entry)
        for line, value in read_rows(file):
            yield row_number, line, value
            row_number += 1
            entry["rows"] = row_number - int(entry["first_row"])  # type: ignore[call-overload]


def _rename(rows: Iterable[tuple[int, int | None, Any]], source: LocatedSource) -> Iterator[Record]:
    """Give mapped columns our names; a row that lacks one keeps what it has, and is rejected where its format is
    told."""
    spec = source.spec
    ours = {theirs: name for name, theirs in spec.columns.items()}
    missing = set(ours)
    seen: set[str] = set()
    for row, line, value in rows:
        if isinstance(value, dict):
            missing -= value.keys()
            seen |= value.keys() if missing else set()
            if ours:
                value = {
                    **{k: v for k, v in value.items() if k not in spec.columns and k not in ours},
                    **_renamed(value, ours),
                }
        yield {"row": row, "line": line, "record": _to_json(value, row, source)}
    if missing:
        raise DataError(_missing_columns(spec, missing, seen))


def _to_json(value: Any, row: int, source: LocatedSource) -> str:
    try:
        return orjson.dumps(value, default=str).decode()
    except orjson.JSONEncodeError as error:
        raise DataError(f"source '{source.name}', row {row}: cannot be kept as JSON: {error}") from error


def _renamed(value: dict[str, Any], ours: dict[str, str]) -> dict[str, Any]:
    return {ours.get(key, key): item for key, item in value.items() if key in ours}


def _missing_columns(spec: SourceSpec, missing: set[str], seen: set[str]) -> str:
    asked = ", ".join(f"'{name}'" for name in sorted(missing))
    found = ", ".join(f"'{name}'" for name in sorted(seen))
    return (
        f"source '{spec.source_name}' ({spec.path}): expected a column {asked} as `columns` says, found only "
        f"{found or 'no column'}; "
        f"correct `sources.*.columns`"
    )
