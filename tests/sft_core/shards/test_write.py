"""Blocks written as a data set, and read back."""

import itertools
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from datasets import load_from_disk
from hypothesis import given
from hypothesis import strategies as st

from sft_core.records import IGNORED_LABEL, TOKENS
from sft_core.shards import TokenRows, write, write_blocks, write_prompts
from sft_core.tables import iterate_rows, write_table

Row = tuple[list[int], list[int]]
"""Ids and mask."""

FOUR: list[Row] = [([1, 2, 3], [0, 1, 1]), ([4, 5], [0, 1]), ([6], [1]), ([7, 8], [1, 0])]
BLOCKS = [[1, 0], [3], [2]]


def token_rows(folder: Path, rows: list[Row], source: str = "train") -> TokenRows:
    """Rows as the tokenizing stage leaves them; their numbers begin at 10."""
    fields = [
        {"row": 10 + number, "line": None, "split": "train", "input_ids": ids, "loss_mask": mask}
        for number, (ids, mask) in enumerate(rows)
    ]
    write_table(folder / "tokens.arrow", TOKENS, fields)
    return TokenRows.read([(source, folder / "tokens.arrow")], "train")


def written(
    folder: Path, rows: list[Row], blocks: list[list[int]], target_column: Literal["loss_mask", "labels"] = "loss_mask"
) -> str:
    """Write into `folder/out`; return the digest."""
    folder.mkdir(exist_ok=True)
    return write_blocks(folder / "out", "train", token_rows(folder, rows), blocks, target_column)


def read_back(folder: Path) -> list[dict[str, Any]]:
    return load_from_disk(str(folder / "out" / "train")).to_list()


def test_a_data_set_of_masks_gives_the_blocks_back(tmp_path: Path) -> None:
    written(tmp_path, FOUR, BLOCKS)
    assert read_back(tmp_path) == [
        {"input_ids": [4, 5, 1, 2, 3], "seq_lengths": [2, 3], "loss_mask": [0, 1, 0, 1, 1]},
        {"input_ids": [7, 8], "seq_lengths": [2], "loss_mask": [1, 0]},
        {"input_ids": [6], "seq_lengths": [1], "loss_mask": [1]},
    ]


def test_a_data_set_of_labels_is_trls(tmp_path: Path) -> None:
    written(tmp_path, FOUR, BLOCKS, "labels")
    ignored = IGNORED_LABEL
    assert read_back(tmp_path) == [
        {"input_ids": [4, 5, 1, 2, 3], "seq_lengths": [2, 3], "labels": [ignored, 5, ignored, 2, 3]},
        {"input_ids": [7, 8], "seq_lengths": [2], "labels": [7, ignored]},
        {"input_ids": [6], "seq_lengths": [1], "labels": [6]},
    ]


def test_the_data_set_knows_its_split(tmp_path: Path) -> None:
    written(tmp_path, FOUR, BLOCKS)
    assert str(load_from_disk(str(tmp_path / "out" / "train")).split) == "train"


def test_many_files_are_one_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "SHARD_TOKENS", 4)
    monkeypatch.setattr(write, "WRITE_BLOCKS", 2)
    rows: list[Row] = [([number] * (1 + number % 3), [1] * (1 + number % 3)) for number in range(20)]
    written(tmp_path, rows, [[number] for number in range(20)])
    files = sorted(path.name for path in (tmp_path / "out" / "train").glob("*.arrow"))
    assert len(files) > 5
    assert files[0] == f"data-00000-of-{len(files):05d}.arrow"
    assert [block["input_ids"] for block in read_back(tmp_path)] == [ids for ids, _ in rows]


def test_a_block_that_is_larger_than_a_file_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "SHARD_TOKENS", 2)
    written(tmp_path, FOUR, BLOCKS)
    assert [block["seq_lengths"] for block in read_back(tmp_path)] == [[2, 3], [2], [1]]


def test_every_part_of_a_block_leads_back_to_source_and_row(tmp_path: Path) -> None:
    written(tmp_path, FOUR, BLOCKS)
    segments = list(iterate_rows(tmp_path / "out" / "train-segments.arrow"))
    assert [(s["block"], s["shard"], s["row"], s["tokens"]) for s in segments] == [
        (0, 0, 11, 2),
        (0, 0, 10, 3),
        (1, 0, 13, 2),
        (2, 0, 12, 1),
    ]


def test_equal_content_has_an_equal_digest_whatever_it_came_from(tmp_path: Path) -> None:
    turned = [FOUR[number] for number in (1, 0, 3, 2)]
    assert written(tmp_path / "a", FOUR, BLOCKS) == written(tmp_path / "b", turned, [[0, 1], [2], [3]])


def test_the_digest_is_that_of_the_targets_however_they_are_written(tmp_path: Path) -> None:
    assert written(tmp_path / "a", FOUR, BLOCKS, "labels") == written(tmp_path / "b", FOUR, BLOCKS)


@pytest.mark.parametrize(
    ("rows", "blocks"),
    [
        ([([1, 2, 9], [0, 1, 1]), *FOUR[1:]], BLOCKS),
        ([([1, 2, 3], [0, 0, 1]), *FOUR[1:]], BLOCKS),
        (FOUR, [[0, 1], [3], [2]]),
        (FOUR, [[1, 0], [2], [3]]),
        (FOUR, [[1], [0], [3], [2]]),
        (FOUR, [[1, 0], [3, 2]]),
        ([([1, 2], [0, 1]), *FOUR[1:]], BLOCKS),
        ([([2, 3], [1, 1]), ([4, 5, 1], [0, 1, 0]), *FOUR[2:]], BLOCKS),
    ],
    ids=["id", "mask", "order in a block", "order of blocks", "cut", "joined", "shorter row", "border between rows"],
)
def test_different_content_has_a_different_digest(tmp_path: Path, rows: list[Row], blocks: list[list[int]]) -> None:
    assert written(tmp_path / "a", rows, blocks) != written(tmp_path / "b", FOUR, BLOCKS)


def test_prompts_are_written_with_their_answers(tmp_path: Path) -> None:
    row = {
        "row": 7,
        "line": None,
        "split": "eval",
        "input_ids": [1, 2],
        "loss_mask": [0, 1],
        "prompt_ids": [1],
        "reference": "b",
    }
    write_table(tmp_path / "tokens.arrow", TOKENS, [row, {**row, "prompt_ids": None, "reference": None}])
    write_prompts(tmp_path / "prompts.arrow", TokenRows.read([("train", tmp_path / "tokens.arrow")], "eval"))
    assert list(iterate_rows(tmp_path / "prompts.arrow")) == [
        {"source": "train", "row": 7, "prompt_ids": [1], "reference": "b"}
    ]


def test_no_prompts_are_an_empty_table(tmp_path: Path) -> None:
    write_prompts(tmp_path / "prompts.arrow", token_rows(tmp_path, FOUR))
    assert list(iterate_rows(tmp_path / "prompts.arrow")) == []


@st.composite
def rows_in_blocks(draw: st.DrawFn) -> tuple[list[Row], list[list[int]]]:
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=12))
    ids = st.integers(0, 2**31 - 1)
    rows = [
        (
            draw(st.lists(ids, min_size=size, max_size=size)),
            draw(st.lists(st.integers(0, 1), min_size=size, max_size=size)),
        )
        for size in lengths
    ]
    order = draw(st.permutations(range(len(rows))))
    cuts = sorted({0, len(rows), *draw(st.lists(st.integers(0, len(rows)), max_size=4))})
    return rows, [list(order[start:stop]) for start, stop in itertools.pairwise(cuts)]


@given(case=rows_in_blocks(), target_column=st.sampled_from(["loss_mask", "labels"]))
def test_what_is_read_back_is_what_was_written(
    case: tuple[list[Row], list[list[int]]], target_column: Literal["loss_mask", "labels"]
) -> None:
    rows, blocks = case
    with tempfile.TemporaryDirectory() as folder:
        written(Path(folder), rows, blocks, target_column)
        found = read_back(Path(folder))
    for block, numbers in zip(found, blocks, strict=True):
        ids = np.concatenate([rows[number][0] for number in numbers])
        mask = np.concatenate([rows[number][1] for number in numbers])
        expected = mask if target_column == "loss_mask" else np.where(mask == 1, ids, IGNORED_LABEL)
        assert block["input_ids"] == ids.tolist()
        assert block["seq_lengths"] == [len(rows[number][0]) for number in numbers]
        assert block[target_column] == expected.tolist()
