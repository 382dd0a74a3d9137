"""Assign rows to blocks by their lengths alone."""

import numpy as np
import numpy.typing as npt

from sft_core.data.block_plan import BlockPlan
from sft_core.data.draw import shuffled
from sft_core.data.packing.bfd import best_fit_decreasing
from sft_core.data.packing.config import PackingConfig
from sft_core.store.ragged import IntArray, offsets_of, positions_of


def plan_blocks(config: PackingConfig, split: str, lengths: npt.ArrayLike, capacity: int | None) -> BlockPlan:
    """Assign all rows of a split to blocks.

    Args:
        config: The recipe's `packing` section.
        split: `train` or `eval`.
        lengths: [rows] number of tokens, at least 1.
        capacity: Maximum number of tokens of a block; None only if the split is not packed.

    Returns:
        The plan, whose `row` is a position in `lengths`; without packing, each row is its own block, in order.

    Raises:
        ValueError: if `bfd` gets a row that is longer than a block.
    """
    tokens = np.asarray(lengths, dtype=np.int64)
    room = capacity if config.packs(split) else None
    assert room is not None or not config.packs(split), "the recipe refuses packing without max_length"
    seed = config.shuffle_seed if config.shuffle_dataset and split == "train" else None
    if room is not None and config.packing_strategy == "wrapped":
        order = _order(len(tokens), seed)
        plan = wrap(tokens[order], room).of_rows(order)
    else:
        blocks = whole_rows(tokens) if room is None else _fit(config, tokens, room)
        plan = blocks if seed is None else blocks.in_order(_order(blocks.num_blocks, seed))
    _check(plan, tokens, room)
    return plan


def _order(count: int, seed: int | None) -> IntArray:
    return np.arange(count) if seed is None else shuffled(count, seed)


def whole_rows(tokens: IntArray) -> BlockPlan:
    """Return a plan in which each row is a block of its own."""
    rows = np.arange(len(tokens))
    return BlockPlan(rows, np.zeros_like(tokens), tokens, np.arange(len(tokens) + 1))


def cut(tokens: IntArray, capacity: int) -> BlockPlan:
    """Split each row into parts that fit a block, and make each part a block: 11 tokens, capacity 8 → 8 + 3."""
    parts = -(-tokens // capacity)
    row = np.repeat(np.arange(len(tokens)), parts)
    start = positions_of(0, parts) * capacity
    return BlockPlan(row, start, np.minimum(tokens[row] - start, capacity), np.arange(len(row) + 1))


def wrap(tokens: IntArray, capacity: int) -> BlockPlan:
    """Concatenate all rows and cut them every `capacity` tokens; only the last block may be shorter."""
    row_offsets = offsets_of(tokens)
    block_edges = np.append(np.arange(0, row_offsets[-1], capacity), row_offsets[-1])
    edges = np.sort(np.concatenate([row_offsets, block_edges]), kind="stable")  # merges what is sorted already
    edges = edges[np.diff(edges, prepend=-1) > 0]
    row = np.searchsorted(row_offsets, edges[:-1], side="right") - 1
    block_offsets = np.searchsorted(edges, block_edges)
    return BlockPlan(row, edges[:-1] - row_offsets[row], np.diff(edges), block_offsets, is_one_sequence=True)


def _fit(config: PackingConfig, tokens: IntArray, capacity: int) -> BlockPlan:
    parts = cut(tokens, capacity) if config.packing_strategy == "bfd_split" else whole_rows(tokens)
    pieces, block_of_piece = best_fit_decreasing(parts.tokens, capacity)
    block_offsets = np.append(np.flatnonzero(np.diff(block_of_piece, prepend=-1)), len(pieces))
    return BlockPlan(parts.row[pieces], parts.start[pieces], parts.tokens[pieces], block_offsets)


def _check(plan: BlockPlan, tokens: IntArray, capacity: int | None) -> None:
    """Assert that the pieces of each row cover it, and that no block exceeds its capacity."""
    covered = np.bincount(plan.row, weights=plan.tokens, minlength=len(tokens))
    assert np.array_equal(covered, tokens), "packing: the pieces of a row are not its tokens"
    assert np.all(plan.start + plan.tokens <= tokens[plan.row]), "packing: a piece reaches over the end of its row"
    over = capacity is not None and plan.num_blocks and plan.tokens_per_block.max() > capacity
    assert not over, f"packing: a block has more than {capacity} tokens"
