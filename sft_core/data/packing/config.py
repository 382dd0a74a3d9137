"""The `packing` section of the recipe."""

from typing import Literal

from pydantic import Field

from sft_core.section import Section


class PackingConfig(Section):
    """Packing of rows into blocks (with TRL's names), order of blocks, and duplicates."""

    packing: bool = False
    """Pack several rows into one block of `tokens.max_length` tokens."""
    packing_strategy: Literal["bfd", "bfd_split", "wrapped"] = "bfd"
    """`bfd`: best fit decreasing over all rows at once; rows never attend to each other. `bfd_split`: the same, but a
    row longer than a block is split into several parts instead of truncated, which loses one target per split.
    `wrapped`: all tokens in row order, cut every `max_length` tokens; a block is one sequence, and documents attend
    across their borders, as in pretraining."""
    eval_packing: bool | None = None
    """Pack held-out rows as well. None: as `packing`."""
    shuffle_dataset: bool = False
    """Shuffle the packed train blocks; the order is the same for any number of workers. With `wrapped`, the rows are
    shuffled instead, before they are cut. Off by default, because the trainer draws its own order in each epoch."""
    shuffle_seed: int = Field(default=42, ge=0, lt=2**64)
    """Seed of `shuffle_dataset`."""
    drop_duplicates: bool = False
    """Keep the first of several equal rows in one split, and reject the others. Off by default, because repetition may
    be intended; duplicates are counted in either case."""
    target_column: Literal["loss_mask", "labels"] = "loss_mask"
    """Column for the targets: a mask of 0 and 1, or TRL's labels (the token id, or -100). The trainer reads both."""

    def packs(self, split: str) -> bool:
        """Return True if the rows of `train` or `eval` are packed."""
        return self.packing if split == "train" or self.eval_packing is None else self.eval_packing
