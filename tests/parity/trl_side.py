"""TRL's side of a comparison: what a live `SFTTrainer` made of the rows by the time its constructor returns."""

import functools
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer, pack_dataset

from .our_side import LabelledRow
from .tiny_tokenizer import word_tokenizer

ROW = "row_number"
"""TRL keeps raw columns through all its steps, so this one tells which rows it dropped."""


def trl_rows(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast, folder: Path, **config: Any
) -> dict[int, LabelledRow]:
    """Let TRL prepare rows, without packing.

    Args:
        rows: As they would be in the user's data set.
        tokenizer: With a chat template, where the rows are conversations.
        folder: The trainer's `output_dir`; nothing is written there.
        config: Fields of `SFTConfig`.

    Returns:
        Position in `rows` → what TRL trains on; rows that TRL dropped are missing.
    """
    return rows_in(labelled_by_trl(rows, tokenizer, folder, **config))


def labelled_by_trl(
    rows: list[dict[str, Any]], tokenizer: PreTrainedTokenizerFast, folder: Path, **config: Any
) -> Dataset:
    """The same as a data set that `cut_by_trl` and `packed_by_trl` can go on with."""
    # Made from a list, the data set lies in memory, and `datasets` caches nothing of it.
    dataset = Dataset.from_list([{**row, ROW: number} for number, row in enumerate(rows)])
    prepared = trainer_of(dataset, tokenizer, folder, **config).train_dataset
    return prepared.select_columns([ROW, "input_ids", "labels"])


def cut_by_trl(labelled: Dataset, folder: Path, **config: Any) -> dict[int, LabelledRow]:
    """Let TRL truncate rows that it has labelled before: with ids and labels they go straight to that step, and to the
    tokenizer, which any will do for, nothing comes."""
    return rows_in(trainer_of(labelled, word_tokenizer(), folder, **config).train_dataset)


def packed_by_trl(
    labelled: Dataset, max_length: int, strategy: str, batch_size: int | None = None
) -> list[dict[str, list[int]]]:
    """Let TRL pack rows that it has labelled before, by the function that its trainer calls.

    Args:
        labelled: The rows.
        max_length: Tokens a block can hold.
        strategy: TRL's name of it.
        batch_size: Rows that are packed together; None: all. The trainer leaves it at 1,000.
    """
    columns = labelled.select_columns(["input_ids", "labels"])
    return pack_dataset(columns, max_length, strategy, {"batch_size": batch_size or len(labelled)}).to_list()


def rows_in(labelled: Dataset) -> dict[int, LabelledRow]:
    """Row number → ids and labels."""
    columns = (labelled[name] for name in (ROW, "input_ids", "labels"))
    return {number: (ids, labels) for number, ids, labels in zip(*columns, strict=True)}


def trainer_of(dataset: Dataset, tokenizer: PreTrainedTokenizerFast, folder: Path, **config: Any) -> SFTTrainer:
    """An `SFTTrainer` around a model that is never run."""
    args = SFTConfig(output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, **config)
    model = _smallest_llama(len(tokenizer))
    return SFTTrainer(model=model, args=args, train_dataset=dataset, processing_class=tokenizer)


@functools.cache
def _smallest_llama(vocab_size: int) -> LlamaForCausalLM:
    shape = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }
    return LlamaForCausalLM(LlamaConfig(vocab_size=vocab_size, **shape))
