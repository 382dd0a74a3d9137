"""One reader per file format: the same rows from every kind of file, with their lines."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sft_core.errors import DataError

from .files import AS_FILE, COMPRESS, as_jsonl, records_of, values_of, write

TWO_ROWS = [{"text": "one"}, {"text": "zwei ß \u2028 \x00 \U0001f600"}]
LINES = {"jsonl": [1, 2], "ndjson": [1, 2], "json": [2, 5], "csv": [2, 3], "tsv": [2, 3], "txt": [1, 2]}
BOM = b"\xef\xbb\xbf"
TEXT = ["jsonl", "json", "csv", "tsv", "txt"]


@pytest.mark.parametrize("compressed", COMPRESS)
@pytest.mark.parametrize("ending", AS_FILE)
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, ending: str, compressed: str) -> None:
    path = write(tmp_path / f"x.{ending}{compressed}", COMPRESS[compressed](AS_FILE[ending](TWO_ROWS)))
    records = records_of(path)
    assert [orjson.loads(record["record"]) for record in records] == TWO_ROWS
    assert [record["row"] for record in records] == [0, 1]
    assert [record["line"] for record in records] == LINES.get(ending, [None, None])


CELL = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\n\x00"), min_size=1, max_size=8).filter(
    str.strip
)


@settings(max_examples=15)
@given(st.lists(st.fixed_dictionaries({"prompt": CELL, "completion": CELL}), min_size=1, max_size=9), st.integers(1, 4))
def test_rows_of_text_are_equal_in_every_format_compression_and_cut(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], shard_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("same")
    for ending in set(AS_FILE) - {"txt"}:
        for compressed in ("", ".zst"):
            path = write(folder / f"x.{ending}{compressed}", COMPRESS[compressed](AS_FILE[ending](rows)))
            assert values_of(path, shard_rows=shard_rows) == rows, path.name


@pytest.mark.parametrize("compressed", ["", ".gz"])
@pytest.mark.parametrize("ending", TEXT)
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path, ending: str, compressed: str) -> None:
    content = COMPRESS[compressed](BOM + AS_FILE[ending](TWO_ROWS))
    assert values_of(write(tmp_path / f"x.{ending}{compressed}", content)) == TWO_ROWS


@pytest.mark.parametrize("compressed", ["", ".gz"])
def test_blank_lines_of_jsonl_are_no_rows_but_counted(tmp_path: Path, compressed: str) -> None:
    content = COMPRESS[compressed](b'\n{"a": 1}\r\n  \n\t{"a": 2} ')
    records = records_of(write(tmp_path / f"x.jsonl{compressed}", content))
    assert [(record["row"], record["line"], record["record"]) for record in records] == [
        (0, 2, '{"a": 1}'),
        (1, 4, '{"a": 2}'),
    ]


def test_blank_lines_of_text_are_no_rows_but_counted(tmp_path: Path) -> None:
    records = records_of(write(tmp_path / "x.txt", b"\n one \r\n\t\ntwo"))
    assert [(record["line"], record["record"]) for record in records] == [
        (2, '{"text":" one "}'),
        (4, '{"text":"two"}'),
    ]


@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_rows_that_are_no_objects_come_out_as_they_are(tmp_path: Path, ending: str) -> None:
    rows: list[Any] = [1, "text", None, [1, 2], {"a": None}]
    assert values_of(write(tmp_path / f"x.{ending}", AS_FILE[ending](rows))) == rows


UNUSUAL = {
    "half a surrogate pair": '{"text": "\\ud800 é"}',
    "NaN": '{"text": NaN}',
    "infinity": '{"text": [-Infinity, 1e999]}',
    "a long number": '{"text": "a", "id": ' + "9" * 5000 + "}",
    "nested deeply": '{"text": ' + "[" * 3000 + "]" * 3000 + "}",
    "escaped nul": '{"text": "\\u0000"}',
}


@pytest.mark.parametrize("columns", [{}, {"prompt": "text"}], ids=["as it is", "mapped"])
@pytest.mark.parametrize("ending", ["jsonl", "json", "jsonl.gz"])
@pytest.mark.parametrize("text", UNUSUAL.values(), ids=UNUSUAL)
def test_a_row_that_only_a_wide_reading_takes_is_kept_as_it_stands(
    tmp_path: Path, text: str, ending: str, columns: dict[str, str]
) -> None:
    lines = ['{"text": "a"}', text, '{"text": "b"}']
    content = "\n".join(lines) if "jsonl" in ending else f"[{', '.join(lines)}]"
    path = write(tmp_path / f"x.{ending}", COMPRESS[".gz" if ending.endswith("gz") else ""](content.encode()))
    records = [record["record"] for record in records_of(path, columns=columns)]
    if not columns:
        assert records == lines
    else:
        assert [orjson.loads(record) for record in (records[0], records[2])] == [{"prompt": "a"}, {"prompt": "b"}]
        assert records[1] == text or set(orjson.loads(records[1])) <= {"prompt", "id"}


@pytest.mark.parametrize(
    ("ending", "content", "complaint"),
    [
        ("jsonl", b'{"a": 1}\n{"a": \n{"a": 3}\n', r"x.jsonl, line 2: expected JSON, found an error at column \d+"),
        (
            "jsonl",
            b"[\n",
            "line 1: expected a whole JSON value in each line, .*; for a JSON array use the ending .json",
        ),
        ("jsonl", b'\n{"a": 1}\n\n{"a": 01}', "line 4: expected JSON"),
        ("csv", b"a,b\n1,2\n1,2,3\n", "x.csv, line 3: expected 2 columns as in the header, found 3"),
        ("csv", b"a,b\n1\n", "line 2: expected 2 columns as in the header, found 1"),
        ("csv", b'a,b\n"1"x,2\n', "line 2: expected CSV, found"),
        ("csv", b'a,b\n1,"2\n3,4\n', "line 3: expected CSV, found: unexpected end of data"),
        ("csv", b"text,text\na,b\n", r"line 1: expected a name of its own for each column, found \['text'\] twice"),
        ("tsv", b"a\tb\n1,2\n", "line 2: expected 2 columns as in the header, found 1"),
        ("parquet", b"PAR1 but not really", "x.parquet: expected a whole Parquet file, found"),
        ("parquet", b"x", "expected a whole Parquet file, found"),
        ("parquet", AS_FILE["parquet"](TWO_ROWS)[:-9], "expected a whole Parquet file, found"),
        ("arrow", b"no arrow at all, but long enough", "x.arrow: expected a whole Arrow file, found"),
        ("arrow", AS_FILE["arrow"](TWO_ROWS)[:-9], "expected a whole Arrow file, found"),
        ("arrow", AS_FILE["stream.arrow"](TWO_ROWS * 9)[:-300], "expected a whole Arrow file, found"),
    ],
)
def test_a_broken_file_is_named_with_the_line(tmp_path: Path, ending: str, content: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        values_of(write(tmp_path / f"x.{ending}", content))


def test_the_line_of_an_error_counts_in_the_file_not_in_the_piece(tmp_path: Path) -> None:
    content = as_jsonl([{"a": number} for number in range(5)]) + b"{]\n"
    with pytest.raises(DataError, match=r"x\.jsonl, line 6: expected JSON"):
        values_of(write(tmp_path / "x.jsonl", content), shard_rows=2)


def test_a_quoted_field_of_csv_may_hold_line_breaks_and_its_row_has_the_line_on_which_it_begins(tmp_path: Path) -> None:
    records = records_of(write(tmp_path / "x.csv", b'prompt,completion\n"a, ""b""\nc",d\n\n"x\ny",z\n'))
    assert [(record["line"], json.loads(record["record"])) for record in records] == [
        (2, {"prompt": 'a, "b"\nc', "completion": "d"}),
        (5, {"prompt": "x\ny", "completion": "z"}),
    ]


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_csv_has_text_only_whatever_its_line_breaks(tmp_path: Path, line_break: str) -> None:
    content = line_break.join(["a,b", "1,", "", "2,3"])
    assert values_of(write(tmp_path / "x.csv", content)) == [{"a": "1", "b": ""}, {"a": "2", "b": "3"}]


@pytest.mark.parametrize("ending", ["jsonl", "json", "csv", "txt", "jsonl.gz"])
def test_a_row_of_ten_million_characters_is_a_row(tmp_path: Path, ending: str) -> None:
    kind, _, compressed = ending.partition(".")
    rows = [{"text": 'a"b' if kind != "txt" else "ab"}, {"text": "é" * 10_000_000}, {"text": "c"}]
    content = COMPRESS[f".{compressed}" if compressed else ""](AS_FILE[kind](rows))
    assert values_of(write(tmp_path / f"x.{ending}", content), shard_rows=2) == rows


ROWS = st.lists(
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs",))),
        st.none() | st.booleans() | st.text() | st.integers(-(2**53), 2**53),
        max_size=3,
    ),
    min_size=1,
    max_size=5,
)


@given(ROWS, st.sampled_from([None, 1, "\t"]), st.integers(1, 3))
def test_json_comes_out_as_it_went_in(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], indent: int | str | None, shard_rows: int
) -> None:
    folder = tmp_path_factory.mktemp("json")
    lines = write(folder / "x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    array = write(folder / "x.json", json.dumps(rows, indent=indent))
    for path in (lines, array):
        assert [json.loads(record["record"]) for record in records_of(path, shard_rows=shard_rows)] == rows
