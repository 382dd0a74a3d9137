"""How rows share blocks."""

from typing import Literal

from pydantic import Field

from sft_core.section import Section


class PackingConfig(Section):
    """Packing (TRL's names), and which rows take part."""

    packing: bool = False
    """Put several rows into one block of `tokens.max_length`."""
    packing_strategy: Literal["bfd", "bfd_split", "wrapped"] = "bfd"
    """`bfd`: best fit decreasing over all rows at once; rows never attend to each other. `bfd_split`: the same, but a
    row longer than a block is cut into several parts instead of truncated, at the price of one target a cut. `wrapped`:
    all tokens in row order, cut every `max_length`; a block is one sequence, and documents attend across their borders,
    as in pretraining."""
    eval_packing: bool | None = None
    """Whether held-out rows are packed as well; None: as `packing`."""
    shuffle_dataset: bool = False
    """Put the finished train blocks into a random order, which is the same for any number of workers. For `wrapped`
    it is the rows that are shuffled, before they are cut. Off, since the trainer draws its own order each epoch."""
    shuffle_seed: int = Field(default=42, ge=0, lt=2**64)
    """Decides the order of `shuffle_dataset`."""
    drop_duplicates: bool = False
    """Of equal rows in one split keep the first, and reject the others. Off, since repetition may be meant; they are
    counted either way."""
    target_column: Literal["loss_mask", "labels"] = "loss_mask"
    """How targets are written: a mask of 0 and 1, or TRL's labels (the token id, or -100). The trainer reads both."""

    def packs(self, split: str) -> bool:
        """Whether the rows of `train` or `eval` share blocks."""
        return self.packing if split == "train" or self.eval_packing is None else self.eval_packing
