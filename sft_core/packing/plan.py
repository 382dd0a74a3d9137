"""Decide which rows share a block, from their lengths alone."""

from collections.abc import Sequence

from sft_core.packing.bfd import best_fit_decreasing
from sft_core.packing.config import PackingConfig


def plan_blocks(config: PackingConfig, split: str, lengths: Sequence[int], capacity: int | None) -> list[list[int]]:
    """Assign all rows of a split to blocks.

    Args:
        config: The `packing` section.
        split: `train` or `eval`.
        lengths: [rows] in tokens.
        capacity: Tokens a block can hold; None only where nothing is packed.

    Returns:
        [blocks] lists of row indices; without packing, each row is its own block, in order.
    """
    is_packed = config.packing if split == "train" or config.eval_packing is None else config.eval_packing
    if not is_packed:
        return [[row] for row in range(len(lengths))]
    assert capacity is not None, "the recipe refuses packing without max_length"
    return best_fit_decreasing(lengths, capacity)
