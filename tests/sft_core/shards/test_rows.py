"""All token rows of one split, gathered from shards."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sft_core.records import TOKENS
from sft_core.shards import TokenRows
from sft_core.shards.rows import _flat
from sft_core.tables import write_arrow, write_table


def tokens(row: int, ids: list[int], mask: list[int], split: str = "train", **answer: Any) -> dict[str, Any]:
    return {"row": row, "line": None, "split": split, "input_ids": ids, "loss_mask": mask, **answer}


FIRST = [
    tokens(0, [1, 2, 3], [0, 1, 1]),
    tokens(1, [4, 5], [0, 1], "eval", prompt_ids=[4], reference="five"),
    tokens(2, [6], [1]),
]
SECOND = [tokens(0, [7, 8], [1, 1]), tokens(3, [9, 10, 11], [0, 0, 1], "eval")]


@pytest.fixture
def shards(tmp_path: Path) -> list[tuple[str, Path]]:
    write_table(tmp_path / "a.arrow", TOKENS, FIRST)
    write_table(tmp_path / "b.arrow", TOKENS, SECOND)
    return [("a", tmp_path / "a.arrow"), ("b", tmp_path / "b.arrow")]


def as_lists(rows: TokenRows) -> list[tuple[str, int, list[int], list[int]]]:
    edges = list(zip(rows.offsets, rows.offsets[1:], strict=False))
    parts = [(rows.input_ids[a:b].tolist(), rows.loss_mask[a:b].tolist()) for a, b in edges]
    return [(source, int(row), *part) for source, row, part in zip(rows.source, rows.row, parts, strict=True)]


def test_rows_of_one_split_come_in_the_order_of_their_shards(shards: list[tuple[str, Path]]) -> None:
    rows = TokenRows.read(shards, "train")
    assert as_lists(rows) == [("a", 0, [1, 2, 3], [0, 1, 1]), ("a", 2, [6], [1]), ("b", 0, [7, 8], [1, 1])]
    assert rows.lengths.tolist() == [3, 1, 2]


def test_prompts_are_those_of_the_rows_that_have_one(shards: list[tuple[str, Path]]) -> None:
    expected = [{"source": "a", "row": 1, "prompt_ids": [4], "reference": "five"}]
    assert TokenRows.read(shards, "eval").prompts.to_pylist() == expected
    assert TokenRows.read(shards, "train").prompts.to_pylist() == []


def test_a_split_without_rows_is_empty(tmp_path: Path) -> None:
    write_table(tmp_path / "a.arrow", TOKENS, FIRST[:1])
    rows = TokenRows.read([("a", tmp_path / "a.arrow")], "eval")
    assert (as_lists(rows), rows.lengths.tolist(), len(rows.input_ids)) == ([], [], 0)


def test_gathered_rows_lie_one_after_the_other(shards: list[tuple[str, Path]]) -> None:
    ids, mask = TokenRows.read(shards, "train").gather([2, 0])
    assert (ids.tolist(), mask.tolist()) == ([7, 8, 1, 2, 3], [1, 1, 0, 1, 1])


def test_a_slice_of_a_table_is_read_as_that_slice(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(
        [tokens(number, [number] * (number + 1), [1] * (number + 1)) for number in range(5)], TOKENS
    )
    write_arrow(tmp_path / "a.arrow", table.slice(2, 2))
    assert as_lists(TokenRows.read([("a", tmp_path / "a.arrow")], "train")) == [
        ("a", 2, [2, 2, 2], [1, 1, 1]),
        ("a", 3, [3, 3, 3, 3], [1, 1, 1, 1]),
    ]


def test_a_slice_of_a_column_is_flattened_as_that_slice() -> None:
    lists = pa.chunked_array([pa.array([[1], [2, 2], [3, 3, 3]]), pa.array([[4]])]).slice(1, 2)
    assert _flat(lists, np.int32).tolist() == [2, 2, 3, 3, 3]


def test_a_file_of_several_batches_is_read_as_one(tmp_path: Path) -> None:
    batches = [pa.Table.from_pylist([tokens(number, [number], [1])], TOKENS) for number in range(4)]
    write_arrow(tmp_path / "a.arrow", pa.concat_tables([batches[0], *batches, batches[3]]).slice(1, 4))
    assert [ids for _, _, ids, _ in as_lists(TokenRows.read([("a", tmp_path / "a.arrow")], "train"))] == [
        [0],
        [1],
        [2],
        [3],
    ]
