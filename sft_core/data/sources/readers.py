"""Readers, one per file format. Each yields (line or None, value, JSON text) per row and never loads the whole file.

A row that is a JSON object is yielded as a dictionary of its fields. An error that breaks the file as a whole (text
that is not JSON, a broken archive) is raised as a `DataError` with file and line. A row that is wrong by itself is left
to `detect_formats`, which rejects it with its row number.

To add a format, write a function here, add it to `READERS`, and add its ending to `file_kind.py`.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import IO, Any, cast

from sft_core.data.sources.columnar import read_arrow, read_parquet
from sft_core.data.sources.file_kind import FileFormat
from sft_core.data.sources.json_array import read_json_array
from sft_core.data.sources.pieces import FilePiece
from sft_core.data.sources.row_text import parse_row
from sft_core.data.sources.streams import open_piece, open_text
from sft_core.errors import DataError

Row = tuple[int | None, Any, bytes | None]
"""Line from 1 (None if the file has no lines), the value, and its JSON text (None if it is not at hand)."""
MAX_FIELD_CHARS = 1 << 30
_OPENED = (b"[", b"{")


def read_rows(piece: FilePiece) -> Iterator[Row]:
    """Yield the rows of a piece. If the piece is a part of a file, the rows after it are yielded as well.

    Raises:
        DataError: if the file is not in its format; the message has the file and the line.
    """
    reader = READERS[piece.file_format]
    with (open_piece if piece.file_format in BINARY_FORMATS else open_text)(piece) as stream:
        yield from reader(cast(IO[bytes], stream), piece)


def _read_jsonl(stream: IO[bytes], piece: FilePiece) -> Iterator[Row]:
    for line, content in enumerate(stream, piece.first_line):
        # strip the line break, or the error of an incomplete line would be reported for the next line
        if text := content.strip():
            if text in _OPENED:
                raise DataError(
                    f"{piece.path}, line {line}: expected a whole JSON value in each line, found one that continues "
                    "on the next; for a JSON array use the ending .json or set `file_format: json`"
                )
            yield line, parse_row(text, piece, line), text


def _read_txt(stream: IO[bytes], piece: FilePiece) -> Iterator[Row]:
    for line, content in enumerate(stream, piece.first_line):
        if content.strip():
            yield line, {"text": content.rstrip(b"\r\n").decode("utf-8")}, None


def _read_csv(stream: IO[bytes], piece: FilePiece) -> Iterator[Row]:
    return _read_delimited(stream, piece, ",")


def _read_tsv(stream: IO[bytes], piece: FilePiece) -> Iterator[Row]:
    return _read_delimited(stream, piece, "\t")


def _read_delimited(stream: IO[bytes], piece: FilePiece, delimiter: str) -> Iterator[Row]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    text = io.TextIOWrapper(cast(io.BufferedReader, stream), encoding="utf-8", newline="")
    reader = csv.reader(text, strict=True, delimiter=delimiter)
    try:
        names = next(filter(None, reader), [])
        _check_header(names, piece)
        line = reader.line_num + 1  # where the next row begins: its fields may hold line breaks
        for fields in reader:
            if fields and len(fields) != len(names):
                raise DataError(
                    f"{piece.path}, line {line}: expected {len(names)} columns as in the header, found {len(fields)}"
                )
            if fields:
                yield line, dict(zip(names, fields, strict=True)), None
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{piece.path}, line {reader.line_num}: expected {piece.file_format.upper()}, found: {error}"
        ) from error


def _check_header(names: Sequence[str], piece: FilePiece) -> None:
    doubled = sorted({name for name in names if list(names).count(name) > 1})
    if doubled:
        raise DataError(f"{piece.path}, line 1: expected a name of its own for each column, found {doubled} twice")


READERS: dict[FileFormat, Callable[[IO[bytes], FilePiece], Iterator[Row]]] = {
    "jsonl": _read_jsonl,
    "json": read_json_array,
    "csv": _read_csv,
    "tsv": _read_tsv,
    "parquet": read_parquet,
    "arrow": read_arrow,
    "txt": _read_txt,
}
BINARY_FORMATS: tuple[FileFormat, ...] = ("parquet", "arrow")
