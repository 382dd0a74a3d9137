"""One reader per file format: rows with their lines, and broken files explained."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.errors import DataError
from sft_core.sources.config import FileFormat
from sft_core.sources.locate import SourceFile
from sft_core.sources.readers import read_rows

TWO_ROWS = [{"text": "one"}, {"text": "zwei ß \u2028 \U0001f600"}]
BOM = b"\xef\xbb\xbf"


def read(path: Path, content: bytes, file_format: FileFormat, is_gzipped: bool = False) -> list[tuple[int | None, Any]]:
    path.write_bytes(content)
    return list(read_rows(SourceFile(path, "digest", file_format, is_gzipped)))


def as_jsonl(rows: list[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def as_csv(rows: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


AS_FILE: dict[FileFormat, bytes] = {
    "jsonl": as_jsonl(TWO_ROWS),
    "json": json.dumps(TWO_ROWS, indent=1).encode(),
    "csv": as_csv(TWO_ROWS),
    "parquet": as_parquet(TWO_ROWS),
    "txt": "one\nzwei ß \u2028 \U0001f600\n".encode(),
}
LINES: dict[FileFormat, list[int | None]] = {
    "jsonl": [1, 2],
    "json": [None, None],
    "csv": [2, 3],
    "parquet": [None, None],
    "txt": [1, 2],
}


@pytest.mark.parametrize("is_gzipped", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("file_format", AS_FILE)
def test_every_format_gives_the_same_rows(tmp_path: Path, file_format: FileFormat, is_gzipped: bool) -> None:
    content = gzip.compress(AS_FILE[file_format]) if is_gzipped else AS_FILE[file_format]
    expected = list(zip(LINES[file_format], TWO_ROWS, strict=True))
    assert read(tmp_path / "file", content, file_format, is_gzipped) == expected


@pytest.mark.parametrize("file_format", ["jsonl", "json", "csv", "txt"])
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, file_format: FileFormat) -> None:
    rows = read(tmp_path / "file", BOM + AS_FILE[file_format], file_format)
    assert [row for _, row in rows] == TWO_ROWS


def test_blank_lines_of_jsonl_are_passed_over_but_counted(tmp_path: Path) -> None:
    assert read(tmp_path / "file", b'\n{"a": 1}\r\n  \n{"a": 2}', "jsonl") == [(2, {"a": 1}), (4, {"a": 2})]


def test_blank_lines_of_text_are_passed_over_but_counted(tmp_path: Path) -> None:
    assert read(tmp_path / "file", b"\n one \r\n\t\ntwo", "txt") == [(2, {"text": " one "}), (4, {"text": "two"})]


@pytest.mark.parametrize("file_format", ["jsonl", "json"])
def test_rows_that_are_no_objects_come_out_as_they_are(tmp_path: Path, file_format: FileFormat) -> None:
    rows: list[Any] = [1, "text", None, [1, 2], {"a": None}]
    content = as_jsonl(rows) if file_format == "jsonl" else json.dumps(rows).encode()
    assert [row for _, row in read(tmp_path / "file", content, file_format)] == rows


def test_a_quoted_field_of_csv_may_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    assert read(tmp_path / "file", b'prompt,completion\n"a, ""b""\nc",d\n', "csv") == [
        (3, {"prompt": 'a, "b"\nc', "completion": "d"})
    ]


def test_csv_has_text_only(tmp_path: Path) -> None:
    assert read(tmp_path / "file", b"a,b\n1,\n", "csv") == [(2, {"a": "1", "b": ""})]


def test_a_field_of_csv_may_be_long(tmp_path: Path) -> None:
    assert len(read(tmp_path / "file", b"text\n" + b"x" * 300_000 + b"\n", "csv")[0][1]["text"]) == 300_000


def test_nested_columns_of_parquet_are_lists_and_objects(tmp_path: Path) -> None:
    rows = [{"messages": [{"role": "user", "content": "hi"}], "tools": None}]
    assert read(tmp_path / "file", as_parquet(rows), "parquet") == [(None, rows[0])]


@pytest.mark.parametrize(
    ("file_format", "content", "complaint"),
    [
        ("jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n', r"file, line 2: expected JSON, found an error at column \d+"),
        ("jsonl", b'{"a": 1}\n{"a": "\xff"}\n', "file, line 2: expected JSON"),
        ("jsonl", b"[\n", "file, line 1: expected JSON"),
        ("json", b'[{"a": 1},\n {"a": }]', "file, line 2: expected JSON, found an error at column 8"),
        (
            "json",
            b'{"a": 1}',
            "expected a JSON array of rows, found an object; for one object a line use the ending .jsonl",
        ),
        ("json", b'"a"', "expected a JSON array of rows, found a string"),
        ("json", b"null", "expected a JSON array of rows, found a null"),
        ("csv", b"a,b\n1,2\n1,2,3\n", "file, line 3: expected 2 columns as in the header, found another number"),
        ("csv", b"a,b\n1\n", "file, line 2: expected 2 columns as in the header, found another number"),
        ("csv", b'a,b\n"1"x,2\n', "file, line 2: expected CSV, found"),
        ("csv", b"a\n\xe9t\xe9\n", "expected UTF-8, found byte 0xe9; convert the file to UTF-8"),
        ("txt", b"ok\n\xe9t\xe9\n", "expected UTF-8, found byte 0xe9; convert the file to UTF-8"),
        ("parquet", b"PAR1 but not really", "file: expected a Parquet file, found"),
        ("parquet", b"x", "file: expected a Parquet file, found"),
    ],
)
def test_a_broken_file_is_named_with_the_line(
    tmp_path: Path, file_format: FileFormat, content: bytes, complaint: str
) -> None:
    with pytest.raises(DataError, match=complaint):
        read(tmp_path / "file", content, file_format)


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b"text" * 1000)[:-20], gzip.compress(b"text")[:10] + b"\xff" * 20]
)
def test_a_broken_archive_is_named(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(DataError, match="file: expected a whole gzip file, found"):
        read(tmp_path / "file", content, "txt", is_gzipped=True)


ROWS = st.lists(
    st.dictionaries(st.text(), st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53), max_size=3),
    max_size=5,
)


@given(ROWS)
def test_jsonl_comes_out_as_it_went_in(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    assert [row for _, row in read(tmp_path / "file", as_jsonl(rows), "jsonl")] == rows
