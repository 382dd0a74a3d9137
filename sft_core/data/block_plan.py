"""Block plans as flat arrays: which piece of which row is in which block. Packing makes a plan, and the shards are
written from it.

    block 0   row 1 whole, row 0 whole        row           [1, 0, 2, 2]
    block 1   row 2, its first 8 tokens       start         [0, 0, 0, 8]
    block 2   row 2, the rest                 tokens        [4, 3, 8, 2]
                                              block_offsets [0, 2, 3, 4]

A plan of a million rows takes some 20 MB, and every operation on it is one numpy call.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from sft_core.store.ragged import IntArray, offsets_of, positions_of


@dataclass(frozen=True, slots=True, eq=False)
class BlockPlan:
    """Pieces of rows, block after block, in the order in which each block contains them."""

    row: IntArray
    """[pieces] Row of each piece, as a position in the list of rows that the plan was made for."""
    start: IntArray
    """[pieces] Position in its row at which each piece begins, in tokens."""
    tokens: IntArray
    """[pieces] Number of tokens of each piece."""
    block_offsets: IntArray
    """[blocks + 1] Block `b` has the pieces `block_offsets[b]:block_offsets[b + 1]`."""
    is_one_sequence: bool = False
    """True if the pieces of a block attend to each other as one text; if False, each piece is its own sequence."""

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return len(self.block_offsets) - 1

    @property
    def pieces_per_block(self) -> IntArray:
        """[blocks] Number of pieces of each block."""
        return np.diff(self.block_offsets)

    @property
    def tokens_per_block(self) -> IntArray:
        """[blocks] Number of tokens of each block."""
        return np.diff(offsets_of(self.tokens)[self.block_offsets])

    @property
    def sequences_per_block(self) -> IntArray:
        """[blocks] Number of sequences of each block; sequences do not attend to each other."""
        return np.ones(self.num_blocks, np.int64) if self.is_one_sequence else self.pieces_per_block

    @property
    def sequence_tokens(self) -> IntArray:
        """[sequences] Number of tokens of each sequence."""
        return self.tokens_per_block if self.is_one_sequence else self.tokens

    def part(self, first: int, stop: int) -> Self:
        """Return the plan of the blocks `first` to `stop - 1`."""
        edges = self.block_offsets[first : stop + 1]
        own = slice(edges[0], edges[-1])
        pieces = {name: getattr(self, name)[own] for name in ("row", "start", "tokens")}
        return replace(self, **pieces, block_offsets=edges - edges[0])

    def of_rows(self, rows: IntArray) -> Self:
        """Return the same plan for a larger list of rows, in which position `i` becomes `rows[i]`."""
        return replace(self, row=rows[self.row])

    def in_order(self, blocks: IntArray) -> Self:
        """Return the plan with its blocks in the given order."""
        counts = self.pieces_per_block[blocks]
        pieces = positions_of(self.block_offsets[blocks], counts)
        moved = {name: getattr(self, name)[pieces] for name in ("row", "start", "tokens")}
        return replace(self, **moved, block_offsets=offsets_of(counts))
