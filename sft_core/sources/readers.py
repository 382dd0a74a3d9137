"""One reader per file format: a stream of (line number or None, row), never the whole file at once where the format
allows it.

A row that is a JSON object comes out as its fields. What the file as a whole breaks (text that is not JSON, a broken
archive) is a `DataError` with file and line; what is wrong with one row only is for `detect_formats` to reject, with
its row number.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from sft_core.errors import DataError
from sft_core.sources.config import FileFormat
from sft_core.sources.locate import SourceFile

Row = tuple[int | None, Any]
BATCH_ROWS = 1024


def read_rows(file: SourceFile) -> Iterator[Row]:
    """Yield (line from 1 or None, value) for each row of a file.

    Raises:
        DataError: naming file and line, if the file is not what its format says.
    """
    try:
        with gzip.open(file.path) if file.is_gzipped else file.path.open("rb") as stream:
            yield from READERS[file.file_format](cast(IO[bytes], stream), file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{file.path}: expected a whole gzip file, found: {error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file.path}: expected UTF-8, found byte {error.object[error.start]:#04x}; convert the file to UTF-8"
        ) from error


def _read_jsonl(stream: IO[bytes], file: SourceFile) -> Iterator[Row]:
    for number, line in enumerate(stream, start=1):
        content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
        if content.strip():
            # without its line break, or a half line would be blamed on the next one
            yield number, _parse(content.rstrip(), file, number)


def _read_json(stream: IO[bytes], file: SourceFile) -> Iterator[Row]:
    content = stream.read().removeprefix(b"\xef\xbb\xbf")
    rows = _parse(content, file, 1)
    if not isinstance(rows, list):
        found = f"an {_json_type(rows)}" if isinstance(rows, dict) else f"a {_json_type(rows)}"
        raise DataError(
            f"{file.path}: expected a JSON array of rows, found {found}; for one object a line use the ending .jsonl"
        )
    for row in rows:
        yield None, row


def _parse(content: bytes, file: SourceFile, first_line: int) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise DataError(
            f"{file.path}, line {line}: expected JSON, found an error at column {error.colno}: {error.msg}"
        ) from error


def _json_type(value: Any) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


def _read_csv(stream: IO[bytes], file: SourceFile) -> Iterator[Row]:
    reader = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), strict=True)
    csv.field_size_limit(1 << 30)
    try:
        _check_header(reader.fieldnames or (), file)
        for row in reader:
            if None in row or None in row.values():
                width = len(reader.fieldnames or ())
                raise DataError(
                    f"{file.path}, line {reader.line_num}: expected {width} columns as in the header, found another "
                    "number"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{file.path}, line {reader.reader.line_num}: expected CSV, found: {error}") from error


def _check_header(names: Sequence[str], file: SourceFile) -> None:
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise DataError(f"{file.path}, line 1: expected a name of its own for each column, found {doubled} twice")


def _read_parquet(stream: IO[bytes], file: SourceFile) -> Iterator[Row]:
    try:
        for batch in pq.ParquetFile(stream).iter_batches(batch_size=BATCH_ROWS):
            for row in batch.to_pylist():
                yield None, row
    except pa.ArrowException as error:
        raise DataError(f"{file.path}: expected a Parquet file, found: {error}") from error


def _read_txt(stream: IO[bytes], file: SourceFile) -> Iterator[Row]:
    for number, line in enumerate(io.TextIOWrapper(stream, encoding="utf-8-sig"), start=1):
        text = line.rstrip("\r\n")
        if text.strip():
            yield number, {"text": text}


READERS: dict[FileFormat, Callable[[IO[bytes], SourceFile], Iterator[Row]]] = {
    "jsonl": _read_jsonl,
    "json": _read_json,
    "csv": _read_csv,
    "parquet": _read_parquet,
    "txt": _read_txt,
}
