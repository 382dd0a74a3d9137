"""From blocks to tensors: rows of one batch are padded to the longest, and documents in a row are told apart by their
positions.

    block          [a a a a b b b]     seq_lengths [4, 3], padded to 8
    input_ids      [a a a a b b b p]
    position_ids   [0 1 2 3 0 1 2 0]   restart with every document; the padding is a document of its own
    labels         [- . . . - . . -]   nothing of a document predicts its first token: no target

transformers builds a block-diagonal causal mask from positions that restart, provided that there is no attention mask
and no cache. Rows of one document need no mask at all: padding follows them, and a causal model does not look ahead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from sft_core.records import IGNORED_LABEL

Block = dict[str, Any]

NO_BLOCK = -1
"""Asked for where a process has no block left while others have: answered with a block of no tokens."""


class Blocks(Dataset[Block]):
    """The blocks of one split, read from Arrow through a memory map."""

    def __init__(self, folder: Path) -> None:
        from datasets import load_from_disk

        self._table = load_from_disk(str(folder)).with_format("numpy")

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Block:
        """Return one block: `input_ids` [tokens], `seq_lengths` [documents], `labels` [tokens], and `loss_weights`
        [tokens] where the data has weights; of `NO_BLOCK` all are empty."""
        if index == NO_BLOCK:
            return {name: np.zeros(0, np.int64) for name in {*self._table.column_names, "labels"} - {"loss_mask"}}
        block = self._table[int(index)]
        block["input_ids"] = block["input_ids"].astype(np.int64)  # small vocabularies are written in 16 bits
        if "loss_mask" in block:
            block["labels"] = np.where(block.pop("loss_mask") == 1, block["input_ids"], IGNORED_LABEL)
        return dict(block)

    def lengths(self) -> list[int]:
        """Tokens of every block."""
        import pyarrow.compute as pc

        tokens: list[int] = pc.list_value_length(self._table.data.column("input_ids")).to_pylist()
        return tokens


@dataclass(frozen=True, slots=True)
class Collator:
    """Pads blocks into a batch: `input_ids`, `position_ids` and `labels`, each [blocks, tokens] int64, `num_tokens`
    [blocks], and `loss_weights` [blocks, tokens] float32 where the data has weights."""

    pad_token_id: int

    def __call__(self, blocks: Sequence[Block]) -> dict[str, torch.Tensor]:
        """Collate [blocks]; one without tokens becomes a row of padding."""
        width = max(1, *(len(block["input_ids"]) for block in blocks))
        is_packed = any(len(block["seq_lengths"]) > 1 for block in blocks)
        columns = {
            "input_ids": [_padded(block["input_ids"], width, self.pad_token_id) for block in blocks],
            "position_ids": [_positions(block["seq_lengths"], width, is_packed) for block in blocks],
            "labels": [_padded(_own_targets(block), width, IGNORED_LABEL) for block in blocks],
        }
        if "loss_weights" in blocks[0]:
            columns["loss_weights"] = [_padded(block["loss_weights"], width, 0, np.float32) for block in blocks]
        num_tokens = torch.tensor([len(block["input_ids"]) for block in blocks])
        return {**{name: torch.from_numpy(np.stack(rows)) for name, rows in columns.items()}, "num_tokens": num_tokens}


def _padded(values: Any, width: int, fill: int, dtype: type[np.generic] = np.int64) -> Any:
    return np.concatenate([values, np.full(width - len(values), fill)]).astype(dtype)


def _positions(seq_lengths: Sequence[int], width: int, is_packed: bool) -> Any:
    if not is_packed:
        return np.arange(width)
    lengths = [*seq_lengths, width - int(np.sum(seq_lengths))]
    return np.concatenate([np.arange(length) for length in lengths])


def _own_targets(block: Block) -> Any:
    labels = np.array(block["labels"], dtype=np.int64)
    labels[np.cumsum([0, *block["seq_lengths"]])[:-1]] = IGNORED_LABEL
    return labels
