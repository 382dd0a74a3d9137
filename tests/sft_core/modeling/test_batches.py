"""How blocks become tensors."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from datasets import Dataset

from sft_core.modeling import NO_BLOCK, Blocks, Collator
from sft_core.store.records import SEGMENTS
from sft_core.store.tables import write_table


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
    assert alone.pop("segments")["num_targets"].tolist() == []
    told = {name: tensor.tolist() for name, tensor in alone.items()}
    assert told == {
        "input_ids": [[9]],
        "position_ids": [[0]],
        "labels": [[-100]],
        "loss_weights": [[0.0]],
        "num_tokens": [0],
        "num_pairs": [0],
    }


TWO_BLOCKS = [a_block([1, 2, 3, 4, 5], [3, 2], [1, 2, -100, 4, 5]), a_block([6, 7], [2], [6, 7])]


def test_padding_free_batches_are_one_row_without_padding() -> None:
    batch = Collator(pad_token_id=9, padding_free=True)(TWO_BLOCKS)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6, 7]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1]]
    assert batch["labels"].tolist() == [[-100, 2, -100, -100, 5, -100, 7]]
    assert (batch["cu_seq_lens_q"].tolist(), batch["cu_seq_lens_q"].dtype) == ([0, 3, 5, 7], torch.int32)
    assert batch["cu_seq_lens_k"].tolist() == [0, 3, 5, 7]
    assert (batch["max_length_q"], batch["max_length_k"]) == (3, 3)


@pytest.mark.parametrize("padding_free", [True, False])
def test_counts_do_not_depend_on_the_layout(padding_free: bool) -> None:
    batch = Collator(pad_token_id=9, padding_free=padding_free)(TWO_BLOCKS)
    assert batch["num_tokens"].tolist() == [5, 2]
    assert batch["num_pairs"].tolist() == [6 + 3, 3]
    assert batch["segments"]["num_targets"].tolist() == [1, 1, 1]


def test_blocks_know_the_source_and_the_row_of_each_segment(tmp_path: Path) -> None:
    """Segments are finer than documents where blocks were cut from a stream of tokens."""
    table = pa.table({"input_ids": [[5, 6, 7], [8, 9]], "seq_lengths": [[3], [2]], "loss_mask": [[1, 1, 1], [0, 1]]})
    Dataset(table).save_to_disk(str(tmp_path / "train"))
    pieces = [(0, 0, 10, 2), (0, 2, 11, 1), (1, 1, 12, 2)]
    rows = [{"block": b, "shard": s, "row": r, "start": 0, "tokens": n} for b, s, r, n in pieces]
    write_table(tmp_path / "train-segments.arrow", SEGMENTS, rows)
    blocks = Blocks(tmp_path / "train", ["gsm8k", "gsm8k", "alpaca"])
    assert blocks.sources == ("gsm8k", "alpaca")
    assert blocks.segments.rows_of_block(0) == [("gsm8k", 10), ("alpaca", 11)]
    segments = Collator(pad_token_id=9)([blocks[1], blocks[0]])["segments"]
    assert segments["block"].tolist() == [1, 0, 0]
    assert segments["source"].tolist() == [0, 0, 1]
    assert segments["num_targets"].tolist() == [1, 1, 1], "the first token of a block is none"
    assert not blocks.is_packed
