"""TRL's side of a comparison: what a live `SFTTrainer` made of the rows by the time its constructor returns."""

from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer

from .our_side import LabelledRow

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
    # Made from a list, the data set lies in memory, and `datasets` caches nothing of it.
    dataset = Dataset.from_list([{**row, ROW: number} for number, row in enumerate(rows)])
    prepared = trainer_of(dataset, tokenizer, folder, **config).train_dataset
    columns = (prepared[name] for name in (ROW, "input_ids", "labels"))
    return {number: (ids, labels) for number, ids, labels in zip(*columns, strict=True)}


def trainer_of(dataset: Dataset, tokenizer: PreTrainedTokenizerFast, folder: Path, **config: Any) -> SFTTrainer:
    """An `SFTTrainer` around a random Llama of one layer."""
    shape = {
        "hidden_size": 8,
        "intermediate_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "num_key_value_heads": 1,
    }
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape))
    args = SFTConfig(output_dir=str(folder), report_to="none", use_cpu=True, bf16=False, **config)
    return SFTTrainer(model=model, args=args, train_dataset=dataset, processing_class=tokenizer)
