"""A JSON array, cut into its elements at chunks of any size."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.sources import json_array
from sft_core.errors import DataError

from .files import records_of, values_of, write

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('ab"\\[]{},é\n', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a",]', max_size=2), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module", params=[1, 7, 1 << 20])
def chunk_bytes(request: pytest.FixtureRequest) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "CHUNK_BYTES", request.param)
        yield request.param


@given(rows=st.lists(JSON, min_size=1, max_size=5), indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_elements_are_found_wherever_the_chunks_end(
    tmp_path_factory: pytest.TempPathFactory, chunk_bytes: int, rows: list[Any], indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("array") / "x.json"
    assert values_of(write(path, json.dumps(rows, indent=indent, ensure_ascii=ascii_only))) == rows


def test_a_row_has_the_line_on_which_it_begins(tmp_path: Path, chunk_bytes: int) -> None:
    records = records_of(write(tmp_path / "x.json", ' \n[\n{"a":\n1}, {"a": 2},\n\n {"a": 3}\n]\n \n'))
    assert [(record["line"], json.loads(record["record"])["a"]) for record in records] == [(3, 1), (4, 2), (6, 3)]


BROKEN = {
    '[{"a": 1},\n {"a": }]': "x.json, line 2: expected JSON, found an error at column 8",
    '[1, {"a": 1}\n, 2 3]': "line 2: expected JSON, found an error at column 5",
    "[1, 2": "line 1: expected one whole JSON array of rows, found the end of the file inside the row",
    '[1,\n\n"a]': "line 1: expected one whole JSON array of rows, found the end of the file inside the row",
    "[1, 2,]": "line 1: expected JSON, found an error at column",
    "[, 2]": "line 1: expected JSON, found an error at column",
    "[1}": "line 1: expected JSON, found an error at column",
    '[{"a": 1]]': "line 1: expected JSON, found an error at column",
    "[1]\n 2": "line 1: expected one whole JSON array of rows, found more after its end",
    "[1][2]": "found more after its end",
    '{"a": 1}': "expected a JSON array of rows, found an object; for one object a line use the ending .jsonl or set",
    '{"version": 1, "data": [{"a": 1}]}': r"if the rows are the list `data`, write that list .* \(jq .data\)",
    '"a"': "expected a JSON array of rows, found a string",
    " null": "expected a JSON array of rows, found a null",
    "-7": "expected a JSON array of rows, found a number",
    "text": "expected a JSON array of rows, found a boolean",
    "hello": "expected a JSON array of rows, found no JSON",
    " ": "expected a JSON array of rows, found no JSON",
}


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_array_is_explained(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=BROKEN[content]):
        values_of(write(tmp_path / "x.json", content))


@pytest.mark.parametrize("content", ["[]", " [ \n ] "])
def test_an_array_of_nothing_has_no_row(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"source 'train': no row in .*x.json"):
        values_of(write(tmp_path / "x.json", content))
