"""All token rows by their index."""

from pathlib import Path

import numpy as np
import pytest

from sft_core.data.token_rows import TokenRows
from sft_core.store.records import INDEX
from sft_core.store.tables import write_table


def entry(row: int, tokens: int, split: str = "train", **ids: int) -> dict[str, object]:
    return {"row": row, "split": split, "tokens": tokens, "targets": tokens - 1, **ids}


@pytest.fixture
def rows(tmp_path: Path) -> TokenRows:
    shards = [[entry(0, 3, example_id=2**64 - 1), entry(2, 5, "eval"), entry(3, 4)], [], [entry(0, 6, prompt_id=8)]]
    for number, entries in enumerate(shards):
        (tmp_path / str(number)).mkdir()
        write_table(tmp_path / str(number) / "index.arrow", INDEX, entries)
    return TokenRows.read([(name, tmp_path / str(number)) for number, name in enumerate("aab")])


def test_rows_come_in_the_order_of_their_shards(rows: TokenRows) -> None:
    assert (rows.row.tolist(), rows.tokens.tolist(), rows.targets.tolist()) == (
        [0, 2, 3, 0],
        [3, 5, 4, 6],
        [2, 4, 3, 5],
    )
    assert rows.offsets.tolist() == [0, 3, 3, 4]


def test_rows_know_their_split_shard_and_source(rows: TokenRows) -> None:
    assert (rows.of_split("train").tolist(), rows.of_split("eval").tolist()) == ([0, 2, 3], [1])
    assert rows.shard_of(np.arange(4)).tolist() == [0, 0, 0, 2]
    assert [rows.source_of(row) for row in range(4)] == ["a", "a", "a", "b"]


def test_missing_ids_are_zero(rows: TokenRows) -> None:
    assert (rows.example_id.tolist(), rows.prompt_id.tolist()) == ([2**64 - 1, 0, 0, 0], [0, 0, 0, 8])


def test_no_shards_are_no_rows() -> None:
    nothing = TokenRows.read([])
    assert (len(nothing.row), nothing.offsets.tolist(), nothing.of_split("eval").tolist()) == (0, [0], [])
