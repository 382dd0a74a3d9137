"""How rows share blocks."""

from typing import Literal

from sft_core.section import Section


class PackingConfig(Section):
    """Packing (TRL's names)."""

    packing: bool = False
    """Put several rows into one block of `tokens.max_length`. They never attend to each other."""
    packing_strategy: Literal["bfd"] = "bfd"
    """`bfd`: best fit decreasing over all rows at once."""
    eval_packing: bool | None = None
    """Whether held-out rows are packed as well; None: as `packing`."""
    target_column: Literal["loss_mask", "labels"] = "loss_mask"
    """How targets are written: a mask of 0 and 1, or TRL's labels (the token id, or -100). The trainer reads both."""
