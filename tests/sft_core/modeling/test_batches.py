"""How blocks become tensors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset

from sft_core.modeling import NO_BLOCK, Blocks, Collator


def a_block(ids: list[int], seq_lengths: list[int], labels: list[int]) -> dict:
    return {"input_ids": np.array(ids), "seq_lengths": np.array(seq_lengths), "labels": np.array(labels)}


def test_positions_restart_with_every_document_and_with_the_padding() -> None:
    batch = Collator(pad_token_id=9)(
        [a_block([1, 2, 3, 4, 5], [3, 2], [1, 2, 3, 4, 5]), a_block([1] * 7, [7], [1] * 7)]
    )
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1], [0, 1, 2, 3, 4, 5, 6]]
    assert batch["input_ids"][0].tolist() == [1, 2, 3, 4, 5, 9, 9]


def test_the_first_token_of_each_document_and_the_padding_are_no_targets() -> None:
    batch = Collator(pad_token_id=9)(
        [a_block([1, 2, 3, 4, 5], [3, 2], [1, 2, 3, 4, 5]), a_block([1] * 6, [6], [-100] * 5 + [1])]
    )
    assert batch["labels"].tolist() == [[-100, 2, 3, -100, 5, -100], [-100] * 5 + [1]]


def test_unpacked_rows_have_plain_positions_so_that_no_mask_is_built() -> None:
    batch = Collator(pad_token_id=9)([a_block([1, 2], [2], [1, 2]), a_block([1, 2, 3], [3], [1, 2, 3])])
    assert batch["position_ids"].tolist() == [[0, 1, 2], [0, 1, 2]]


def test_tokens_are_counted_without_padding() -> None:
    batch = Collator(pad_token_id=9)([a_block([1, 2], [2], [1, 2]), a_block([1, 2, 3], [3], [1, 2, 3])])
    assert batch["num_tokens"].tolist() == [2, 3]


@pytest.mark.parametrize(("column", "values"), [("loss_mask", [[0, 1, 1]]), ("labels", [[-100, 6, 7]])])
def test_blocks_read_masks_and_labels_alike(tmp_path: Path, column: str, values: list[list[int]]) -> None:
    table = pa.table({"input_ids": [[5, 6, 7]], "seq_lengths": [[3]], column: values})
    Dataset(table).save_to_disk(str(tmp_path / "data"))
    assert Blocks(tmp_path / "data")[0]["labels"].tolist() == [-100, 6, 7]


def test_weights_are_padded_with_zeros() -> None:
    weighted = {**a_block([1, 2], [2], [1, 2]), "loss_weights": np.array([0.0, 0.5], np.float32)}
    full = {**a_block([1, 2, 3], [3], [1, 2, 3]), "loss_weights": np.ones(3, np.float32)}
    assert Collator(pad_token_id=9)([weighted, full])["loss_weights"].tolist() == [[0.0, 0.5, 0.0], [1.0, 1.0, 1.0]]
    assert "loss_weights" not in Collator(pad_token_id=9)([a_block([1, 2], [2], [1, 2])])


def test_ids_of_16_bits_become_whole_numbers_that_can_be_ignored(tmp_path: Path) -> None:
    ids = pa.array([[5, 65_535, 7]], pa.list_(pa.uint16()))
    Dataset(pa.table({"input_ids": ids, "seq_lengths": [[3]], "loss_mask": [[0, 1, 0]]})).save_to_disk(
        str(tmp_path / "data")
    )
    assert Blocks(tmp_path / "data")[0]["labels"].tolist() == [-100, 65_535, -100]


def test_no_block_is_a_row_of_padding_that_counts_for_nothing(tmp_path: Path) -> None:
    columns = {"input_ids": [[5, 6, 7]], "seq_lengths": [[2, 1]], "loss_mask": [[0, 1, 1]], "loss_weights": [[1.0] * 3]}
    Dataset(pa.table(columns)).save_to_disk(str(tmp_path / "data"))
    blocks = Blocks(tmp_path / "data")
    assert blocks.lengths() == [3]
    alone = Collator(pad_token_id=9)([blocks[NO_BLOCK]])
    told = {name: tensor.tolist() for name, tensor in alone.items()}
    assert told == {
        "input_ids": [[9]],
        "position_ids": [[0]],
        "labels": [[-100]],
        "loss_weights": [[0.0]],
        "num_tokens": [0],
    }
