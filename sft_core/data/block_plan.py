"""Which part of which row lies where: what packing decides and what is then written, as flat arrays.

    block 0   row 1 whole, row 0 whole        row           [1, 0, 2, 2]
    block 1   row 2, its first 8 tokens       start         [0, 0, 0, 8]
    block 2   row 2, the rest                 tokens        [4, 3, 8, 2]
                                              block_offsets [0, 2, 3, 4]

A plan of a million rows is some 20 MB, and every step on it is one numpy call.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class BlockPlan:
    """Pieces of rows, block after block, in the order in which they lie in it."""

    row: IntArray
    """[pieces] whose piece it is: a position in whatever list of rows the plan was made for."""
    start: IntArray
    """[pieces] where in the row it begins, in tokens."""
    tokens: IntArray
    """[pieces] its length."""
    block_offsets: IntArray
    """[blocks + 1] block `b` has the pieces `block_offsets[b]:block_offsets[b + 1]`."""
    is_one_sequence: bool = False
    """Whether the pieces of a block attend to each other as one text; else each is a sequence of its own."""

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return len(self.block_offsets) - 1

    @property
    def pieces_per_block(self) -> IntArray:
        """[blocks] pieces of each block."""
        return np.diff(self.block_offsets)

    @property
    def tokens_per_block(self) -> IntArray:
        """[blocks] tokens of each block."""
        return np.diff(offsets_of(self.tokens)[self.block_offsets])

    @property
    def sequences_per_block(self) -> IntArray:
        """[blocks] texts in each block that do not attend to each other."""
        return np.ones(self.num_blocks, np.int64) if self.is_one_sequence else self.pieces_per_block

    @property
    def sequence_tokens(self) -> IntArray:
        """[sequences] length of each."""
        return self.tokens_per_block if self.is_one_sequence else self.tokens

    def part(self, first: int, stop: int) -> Self:
        """The blocks from `first` to before `stop`."""
        edges = self.block_offsets[first : stop + 1]
        own = slice(edges[0], edges[-1])
        pieces = {name: getattr(self, name)[own] for name in ("row", "start", "tokens")}
        return replace(self, **pieces, block_offsets=edges - edges[0])

    def of_rows(self, rows: IntArray) -> Self:
        """The same plan in the numbers of a larger list: position `i` becomes `rows[i]`."""
        return replace(self, row=rows[self.row])

    def in_order(self, blocks: IntArray) -> Self:
        """The same blocks in another order."""
        counts = self.pieces_per_block[blocks]
        pieces = ranges(self.block_offsets[blocks], counts)
        moved = {name: getattr(self, name)[pieces] for name in ("row", "start", "tokens")}
        return replace(self, **moved, block_offsets=offsets_of(counts))


def offsets_of(lengths: npt.NDArray[np.integer]) -> IntArray:
    """Where items of these lengths begin and end when they lie one after the other: [2, 3] → [0, 2, 5]."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def ranges(starts: IntArray, lengths: npt.NDArray[np.integer]) -> IntArray:
    """All positions of some ranges, one range after the other: starts [7, 2], lengths [2, 3] → [7, 8, 2, 3, 4]."""
    offsets = offsets_of(lengths)
    positions = np.repeat(starts - offsets[:-1], lengths)
    positions += np.arange(offsets[-1])
    return positions
