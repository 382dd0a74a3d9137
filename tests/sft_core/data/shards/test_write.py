"""Blocks written as a data set, and read back."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datasets import load_from_disk

from sft_core.data.block_plan import BlockPlan
from sft_core.data.shards import WrittenBlocks, write, write_blocks
from sft_core.data.shards.columns import TargetColumn
from sft_core.errors import RecipeError
from sft_core.store.ragged import offsets_of
from sft_core.store.records import IGNORED_LABEL, TOKENS
from sft_core.store.tables import iterate_rows, write_arrow

from .token_shards import Row, token_row, token_rows

Blocks = list[list[tuple[int, int, int]]]
"""Row, start and tokens of each piece of each block."""

FOUR = [token_row([1, 2, 3], [0, 1, 1]), token_row([4, 5], [0, 1]), token_row([6], [1]), token_row([7, 8], [1, 0])]
BLOCKS: Blocks = [[(1, 0, 2), (0, 0, 3)], [(3, 0, 2)], [(2, 0, 1)]]


def plan_of(blocks: Blocks, is_one_sequence: bool = False) -> BlockPlan:
    row, start, tokens = np.array([piece for block in blocks for piece in block], np.int64).reshape(-1, 3).T
    return BlockPlan(row, start, tokens, offsets_of(np.array([len(block) for block in blocks])), is_one_sequence)


def written(
    folder: Path,
    blocks: Blocks,
    *shards: Sequence[Row],
    is_one_sequence: bool = False,
    target_column: TargetColumn = "loss_mask",
) -> WrittenBlocks:
    """Write into `folder/out`."""
    rows = token_rows(folder, *shards)
    return write_blocks(folder / "out", "train", rows, plan_of(blocks, is_one_sequence), target_column)


def read_back(folder: Path) -> list[dict[str, Any]]:
    return load_from_disk(str(folder / "out" / "train")).to_list()


def test_a_data_set_of_masks_gives_the_blocks_back(tmp_path: Path) -> None:
    written(tmp_path, BLOCKS, FOUR)
    assert read_back(tmp_path) == [
        {"input_ids": [4, 5, 1, 2, 3], "seq_lengths": [2, 3], "loss_mask": [0, 1, 0, 1, 1]},
        {"input_ids": [7, 8], "seq_lengths": [2], "loss_mask": [1, 0]},
        {"input_ids": [6], "seq_lengths": [1], "loss_mask": [1]},
    ]


def test_a_data_set_of_labels_is_trls(tmp_path: Path) -> None:
    written(tmp_path, BLOCKS, FOUR, target_column="labels")
    ignored = IGNORED_LABEL
    assert read_back(tmp_path) == [
        {"input_ids": [4, 5, 1, 2, 3], "seq_lengths": [2, 3], "labels": [ignored, 5, ignored, 2, 3]},
        {"input_ids": [7, 8], "seq_lengths": [2], "labels": [7, ignored]},
        {"input_ids": [6], "seq_lengths": [1], "labels": [6]},
    ]


def test_parts_of_rows_lie_where_they_were_planned(tmp_path: Path) -> None:
    written(tmp_path, [[(0, 0, 2), (1, 1, 1)], [(1, 0, 1), (0, 2, 1)]], FOUR)
    assert read_back(tmp_path) == [
        {"input_ids": [1, 2, 5], "seq_lengths": [2, 1], "loss_mask": [0, 1, 1]},
        {"input_ids": [4, 3], "seq_lengths": [1, 1], "loss_mask": [0, 1]},
    ]


def test_a_block_that_is_one_sequence_has_one_length(tmp_path: Path) -> None:
    written(tmp_path, BLOCKS, FOUR, is_one_sequence=True)
    assert [block["seq_lengths"] for block in read_back(tmp_path)] == [[5], [2], [1]]


def test_a_repeated_row_is_written_as_often_as_planned(tmp_path: Path) -> None:
    written(tmp_path, [[(1, 0, 2), (1, 0, 2)], [(1, 0, 2)]], FOUR)
    assert [block["input_ids"] for block in read_back(tmp_path)] == [[4, 5, 4, 5], [4, 5]]


def test_rows_without_weights_weigh_one_beside_rows_with(tmp_path: Path) -> None:
    weighted = {**FOUR[0], "loss_weights": [0.0, 0.5, 2.0]}
    written(tmp_path, BLOCKS, [weighted, *FOUR[1:]])
    assert [block["loss_weights"] for block in read_back(tmp_path)] == [[1.0, 1.0, 0.0, 0.5, 2.0], [1.0, 1.0], [1.0]]


def test_weights_of_rows_that_are_not_written_add_no_column(tmp_path: Path) -> None:
    written(tmp_path, [[(1, 0, 2)]], [{**FOUR[0], "loss_weights": [0.0, 0.5, 2.0]}, FOUR[1]])
    assert list(read_back(tmp_path)[0]) == ["input_ids", "seq_lengths", "loss_mask"]


def test_images_come_with_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "FILE_BYTES", 30)
    images = ['["ä.png"]', None, '["b.png", "c.png"]', '["d.png"]']
    rows = [{**row, "images": image} for row, image in zip(FOUR, images, strict=True)]
    written(tmp_path, [[(3, 0, 2)], [(1, 0, 2)], [(0, 0, 3)], [(2, 0, 1)]], rows[:3], rows[3:])
    assert len(list((tmp_path / "out" / "train").glob("*.arrow"))) == 3
    assert [(block["input_ids"], block["images"]) for block in read_back(tmp_path)] == [
        ([7, 8], '[["d.png"]]'),
        ([4, 5], None),
        ([1, 2, 3], '[["ä.png"]]'),
        ([6], '[["b.png", "c.png"]]'),
    ]


def test_rows_with_images_share_blocks_and_each_keeps_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "FILE_BYTES", 60)
    rows = [{**row, "images": f'["{number}.png"]' if number != 1 else None} for number, row in enumerate(FOUR)]
    blocks: Blocks = [[(3, 0, 2), (1, 0, 2), (0, 0, 3)], [(1, 0, 2)], [(1, 0, 2), (2, 0, 1)], [(2, 0, 1), (3, 0, 2)]]
    written(tmp_path, blocks, rows[:3], rows[3:])
    assert len(list((tmp_path / "out" / "train").glob("*.arrow"))) > 1
    assert [block["images"] for block in read_back(tmp_path)] == [
        '[["3.png"],[],["0.png"]]',
        None,
        '[[],["2.png"]]',
        '[["2.png"],["3.png"]]',
    ]


def test_a_row_with_images_is_not_cut(tmp_path: Path) -> None:
    rows = [{**FOUR[0], "images": '["a.png"]'}, *FOUR[1:]]
    written(tmp_path / "a", [[(0, 0, 3), (1, 0, 1)], [(1, 1, 1)]], rows)
    with pytest.raises(
        RecipeError, match="found row 10 of source-0, which `bfd_split` would cut; set `packing_strategy"
    ):
        written(tmp_path / "b", [[(1, 0, 2), (0, 0, 2)], [(0, 2, 1)]], rows)


def test_a_row_with_images_is_not_read_as_one_text_with_others(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="found row 13 of source-1, which `wrapped` would cut"):
        written(tmp_path, BLOCKS, FOUR[:3], [{**FOUR[3], "images": '["a.png"]'}], is_one_sequence=True)


def test_targets_are_counted_as_the_trainer_sees_them(tmp_path: Path) -> None:
    row = token_row([1, 2, 3, 4], [1, 1, 1, 1])
    split = written(tmp_path / "split", [[(0, 0, 2)], [(0, 2, 2)]], [row])
    assert (split.tokens, split.targets, split.targets_lost_to_splitting) == (4, 2, 1)
    wrapped = written(tmp_path / "wrapped", [[(0, 0, 4), (1, 0, 1)], [(1, 1, 3)]], [row, row], is_one_sequence=True)
    assert (wrapped.tokens, wrapped.targets, wrapped.targets_lost_to_splitting) == (8, 6, 1)


def test_a_cut_before_a_token_that_is_no_target_loses_none(tmp_path: Path) -> None:
    assert written(tmp_path, [[(0, 0, 1)], [(0, 1, 1)]], [token_row([1, 2], [1, 0])]).targets_lost_to_splitting == 0


def test_the_data_set_knows_its_split(tmp_path: Path) -> None:
    written(tmp_path, BLOCKS, FOUR)
    assert str(load_from_disk(str(tmp_path / "out" / "train")).split) == "train"


def test_every_part_of_a_block_leads_back_to_a_row(tmp_path: Path) -> None:
    rows = [{**FOUR[0], "example_id": 2**64 - 1}, *FOUR[1:]]
    written(tmp_path, [[(1, 0, 2), (0, 1, 2)], [(3, 0, 2), (0, 0, 1)]], rows[:2], rows[2:])
    assert [tuple(segment.values()) for segment in iterate_rows(tmp_path / "out" / "train-segments.arrow")] == [
        (0, 0, 11, None, 0, 2),
        (0, 0, 10, 2**64 - 1, 1, 2),
        (1, 1, 13, None, 0, 2),
        (1, 0, 10, 2**64 - 1, 0, 1),
    ]


def test_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    written(tmp_path, BLOCKS, FOUR)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["train", "train-segments.arrow"]


def test_a_slice_of_a_table_is_read_as_that_slice(tmp_path: Path) -> None:
    rows = token_rows(tmp_path, FOUR[1:3])
    whole = [{"row": 0, **row, "loss_weights": [0.5] * len(row["input_ids"])} for row in FOUR]
    write_arrow(tmp_path / "shard-0" / "tokens.arrow", pa.Table.from_pylist(whole, TOKENS).slice(1, 2))
    write_blocks(tmp_path / "out", "train", rows, plan_of([[(0, 0, 2)], [(1, 0, 1)]]), "loss_mask")
    assert read_back(tmp_path) == [
        {"input_ids": [4, 5], "seq_lengths": [2], "loss_mask": [0, 1], "loss_weights": [0.5, 0.5]},
        {"input_ids": [6], "seq_lengths": [1], "loss_mask": [1], "loss_weights": [0.5]},
    ]


def test_tokens_that_are_not_what_the_index_says_are_noticed(tmp_path: Path) -> None:
    rows = token_rows(tmp_path, FOUR)
    rows.tokens[:2] = [2, 3]
    with pytest.raises(AssertionError, match="differs from its index"):
        write_blocks(tmp_path / "out", "train", rows, plan_of([[(0, 0, 2)], [(1, 0, 3)]]), "loss_mask")


@pytest.mark.parametrize(("largest", "bits"), [(65_535, "uint16"), (65_536, "int32")])
def test_ids_are_written_in_16_bits_where_all_fit_and_nothing_else_changes(
    tmp_path: Path, largest: int, bits: str
) -> None:
    written(tmp_path, [[(0, 0, 2)]], [token_row([1, largest], [0, 1])])
    dataset = load_from_disk(str(tmp_path / "out" / "train"))
    assert dataset.features["input_ids"].feature.dtype == bits
    assert dataset[0]["input_ids"] == [1, largest]
