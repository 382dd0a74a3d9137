"""Blocks are those that TRL makes when it sees all rows at once, which its own trainer never lets it do.

`SFTTrainer` packs inside `Dataset.map`, 1,000 rows at a time, so its blocks depend on the batch and on the number of
workers. Called with one batch that holds every row, `pack_dataset` and we choose the same rows for the same blocks in
the same order. On GSM8K (7,473 rows, 1,140,476 tokens, blocks of 1024) that is 1,127 blocks, 98.8 % full, where TRL's
batches make 1,130.
"""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_from_disk
from trl import pack_dataset

from sft_core.packing import PackingConfig, plan_blocks
from sft_core.shards import write_blocks

from .our_side import Prepared, prepare, recipe_of

pytestmark = pytest.mark.parity


def prepared(data: Path, tokenizer_folder: Path, folder: Path, max_length: int | None, packing: bool) -> Prepared:
    """GSM8K with loss on all tokens: so no row is dropped, neither by us nor by TRL, however short the blocks are."""
    recipe = recipe_of(
        data / "gsm8k_train.jsonl",
        tokenizer_folder,
        columns={"prompt": "question", "completion": "answer"},
        chat={"completion_only_loss": False},
        tokens={"max_length": max_length},
        packing={"packing": packing, "packing_strategy": "bfd"},
    )
    return prepare(recipe, folder)


def packed_by_trl(
    rows: Prepared, block_tokens: int, strategy: str = "bfd", **map_kwargs: Any
) -> list[dict[str, list[int]]]:
    columns = {
        "input_ids": [ids for ids, _ in rows.rows.values()],
        "labels": [labels for _, labels in rows.rows.values()],
    }
    return pack_dataset(Dataset.from_dict(columns), block_tokens, strategy, map_kwargs).to_list()


@pytest.fixture(scope="module")
def whole_rows(data: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(data, tokenizer_folder, tmp_path_factory.mktemp("rows"), None, packing=False)


@pytest.mark.parametrize("block_tokens", [200, 1024])  # 200 cuts rows, and is no power of two
def test_blocks_are_those_of_trl_given_all_rows_in_one_batch(
    block_tokens: int, whole_rows: Prepared, data: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    ours = prepared(data, tokenizer_folder, tmp_path, block_tokens, packing=True)
    assert (ours.ledger.rows_truncated > 0) == (block_tokens == 200)
    theirs = packed_by_trl(whole_rows, block_tokens, batch_size=len(whole_rows.rows))
    assert len(ours.blocks) == len(theirs)
    assert ours.blocks == theirs


def test_fewer_blocks_than_trl_needs_in_batches_of_1000(
    whole_rows: Prepared, data: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    ours = prepared(data, tokenizer_folder, tmp_path, 1024, packing=True)
    assert len(ours.blocks) < len(packed_by_trl(whole_rows, 1024))


@pytest.mark.parametrize("block_tokens", [200, 1024])
@pytest.mark.parametrize("strategy", ["bfd_split", "wrapped"])
def test_longer_rows_are_cut_where_trl_cuts_them(
    strategy: Any, block_tokens: int, whole_rows: Prepared, tmp_path: Path
) -> None:
    config = PackingConfig(packing=True, packing_strategy=strategy)
    plan = plan_blocks(config, "train", whole_rows.tokens.tokens, block_tokens)
    write_blocks(tmp_path, "train", whole_rows.tokens, plan, "labels")
    ours = load_from_disk(str(tmp_path / "train"))
    theirs = packed_by_trl(whole_rows, block_tokens, strategy, batch_size=len(whole_rows.rows))
    if strategy == "wrapped":  # TRL says nothing of the sequences in a block: it is one
        assert ours["seq_lengths"] == [[len(block["input_ids"])] for block in theirs]
        ours = ours.remove_columns("seq_lengths")
    assert ours.to_list() == theirs
