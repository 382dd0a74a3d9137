"""Blocks are those that TRL makes when it sees all rows at once, which its own trainer never lets it do.

`SFTTrainer` packs inside `Dataset.map`, 1,000 rows at a time, so its blocks depend on the batch and on the number of
workers. Called with one batch that holds every row, `pack_dataset` and we choose the same rows for the same blocks in
the same order. On GSM8K (7,473 rows, 1,140,476 tokens, blocks of 1024) that is 1,127 blocks, 98.8 % full, where TRL's
batches make 1,130.

The last tests show, on a few words, what else TRL does to packed rows.
"""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, load_from_disk

from sft_core.data.packing import PackingConfig, plan_blocks
from sft_core.data.shards import write_blocks

from .our_side import Prepared, prepare, prepare_rows, recipe_of
from .tiny_tokenizer import save_word_tokenizer
from .trl_side import packed_by_trl, trainer_of

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


def labelled(rows: Prepared) -> Dataset:
    """What TRL packs."""
    ids, labels = zip(*rows.rows.values(), strict=True)
    return Dataset.from_dict({"input_ids": ids, "labels": labels})


@pytest.fixture(scope="module")
def whole_rows(data: Path, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(data, tokenizer_folder, tmp_path_factory.mktemp("rows"), None, packing=False)


@pytest.mark.parametrize("block_tokens", [200, 1024])  # 200 cuts rows, and is no power of two
def test_blocks_are_those_of_trl_given_all_rows_in_one_batch(
    block_tokens: int, whole_rows: Prepared, data: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    ours = prepared(data, tokenizer_folder, tmp_path, block_tokens, packing=True)
    assert (ours.ledger.rows_truncated > 0) == (block_tokens == 200)
    theirs = packed_by_trl(labelled(whole_rows), block_tokens, "bfd")
    assert len(ours.blocks) == len(theirs)
    assert ours.blocks == theirs


def test_fewer_blocks_than_trl_needs_in_batches_of_1000(
    whole_rows: Prepared, data: Path, tokenizer_folder: Path, tmp_path: Path
) -> None:
    ours = prepared(data, tokenizer_folder, tmp_path, 1024, packing=True)
    assert len(ours.blocks) < len(packed_by_trl(labelled(whole_rows), 1024, "bfd", batch_size=1000))


@pytest.mark.parametrize("block_tokens", [200, 1024])
@pytest.mark.parametrize("strategy", ["bfd_split", "wrapped"])
def test_longer_rows_are_cut_where_trl_cuts_them(
    strategy: Any, block_tokens: int, whole_rows: Prepared, tmp_path: Path
) -> None:
    config = PackingConfig(packing=True, packing_strategy=strategy)
    plan = plan_blocks(config, "train", whole_rows.tokens.tokens, block_tokens)
    write_blocks(tmp_path, "train", whole_rows.tokens, plan, "labels")
    ours = load_from_disk(str(tmp_path / "train"))
    theirs = packed_by_trl(labelled(whole_rows), block_tokens, strategy)
    if strategy == "wrapped":  # TRL says nothing of the sequences in a block: it is one
        assert ours["seq_lengths"] == [[len(block["input_ids"])] for block in theirs]
        ours = ours.remove_columns("seq_lengths")
    assert ours.to_list() == theirs


TOO_LONG = [{"prompt": "two and two and", "completion": " two"}, {"prompt": "two", "completion": " and"}]
"""The prompt of the first alone fills a block of 4 tokens."""


@pytest.mark.parametrize("truncation_mode", ["keep_start", "keep_end"])
def test_trl_packs_rows_that_lost_all_targets_and_keeps_no_end(truncation_mode: Any, tmp_path: Path) -> None:
    """Such rows cost the time of real ones; unpacked, TRL drops them. `keep_end` is forgotten where it would help."""
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    cut = {"max_length": 4, "truncation_mode": truncation_mode}
    theirs = trainer_of(Dataset.from_list(TOO_LONG), tokenizer, tmp_path, packing=True, **cut).train_dataset["labels"]
    ours = prepare_rows(TOO_LONG, tmp_path / "tokenizer", tmp_path, tokens=cut, packing={"packing": True})
    two, and_, end = tokenizer.convert_tokens_to_ids(["two", "and", "</s>"])
    assert theirs[:] == [[-100, -100, -100, -100], [-100, and_, end]]
    kept = {"keep_start": [], "keep_end": [[-100, -100, two, end]]}[truncation_mode]
    assert [block["labels"] for block in ours.blocks] == [*kept, [-100, and_, end]]
    assert len(ours.rejections) == 1 - len(kept)


def test_trl_ends_a_wrapped_block_early_after_every_1000_rows(tmp_path: Path) -> None:
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    rows = [{"text": "two"}] * 1003
    packing = {"packing": True, "packing_strategy": "wrapped"}
    theirs = trainer_of(Dataset.from_list(rows), tokenizer, tmp_path, max_length=3, **packing).train_dataset
    ours = prepare_rows(rows, tmp_path / "tokenizer", tmp_path, tokens={"max_length": 3}, packing=packing)
    assert [len(ids) for ids in theirs["input_ids"]] == [3] * 666 + [2] + [3] * 2
    assert [len(block["input_ids"]) for block in ours.blocks] == [3] * 668 + [2]


def test_trl_packs_within_its_trainer_as_the_function_does_that_we_compare_with(tmp_path: Path) -> None:
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    rows = Dataset.from_list([{"text": "two and " * (number % 7)} for number in range(50)])
    whole = trainer_of(rows, tokenizer, tmp_path, max_length=None).train_dataset
    for strategy in ("bfd", "bfd_split", "wrapped"):
        packing = {"packing": True, "packing_strategy": strategy}
        packed = trainer_of(rows, tokenizer, tmp_path, max_length=8, **packing).train_dataset
        assert packed.to_list() == packed_by_trl(whole, 8, strategy)
