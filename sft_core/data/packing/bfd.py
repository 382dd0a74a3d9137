"""Best fit decreasing: place the longest row first, each into the fullest block that still has room for it.

    capacity 10, lengths [4, 8, 3, 5]  →  order 8, 5, 4, 3  →  [8] [5, 4], and 3 fits neither  →  [8] [5, 4] [3]

The choices are those of TRL (rows of equal length keep their order, blocks of equal room are filled first in, first
out), but over all rows instead of 1,000 at a time, and not row by row. A block of room `r` that takes a row of length
`s` then has the smallest room that fits, so it takes the next one too: `r // s` rows in all. The other blocks of room
`r` follow in the same way, one after the other, so all of them are filled in one step:

    room 7: blocks [3, 8, 5], rows of length 3: [a b c d e]  →  3: a b, 8: c d, 5: e  →  room 1: [3, 8], room 4: [5]

The number of steps depends on the capacity, not on the number of rows: 1,000,000 rows need a few ten thousand steps.
"""

from collections import defaultdict, deque

import numpy as np
import numpy.typing as npt

from sft_core.store.ragged import IntArray


def best_fit_decreasing(lengths: npt.ArrayLike, capacity: int) -> tuple[IntArray, IntArray]:
    """Assign rows to blocks.

    Args:
        lengths: [rows] number of tokens, from 1 to `capacity`.
        capacity: Maximum number of tokens of a block.

    Returns:
        [rows] indices of the rows, ordered by block, and within a block in the order in which they were placed; and
        [rows] the block of each of these rows. Blocks are numbered in the order in which they were opened.

    Raises:
        ValueError: if a row is empty or longer than a block.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and not (sizes.min() >= 1 and sizes.max() <= capacity):
        raise ValueError(f"expected rows of 1 to {capacity} tokens, found {sizes.min()} to {sizes.max()}")
    rows_of_size = np.bincount(sizes)
    blocks = _OpenBlocks(min(capacity, int(sizes.sum())))  # more room than for all rows is never needed
    block_of = np.empty(len(sizes), dtype=np.int64)
    placed = 0
    for size in np.flatnonzero(rows_of_size)[::-1].tolist():
        stop = placed + int(rows_of_size[size])
        while placed < stop:
            chosen = blocks.fill(size, stop - placed)
            block_of[placed : placed + len(chosen)] = chosen
            placed += len(chosen)
    longest_first = stable_order(capacity - sizes)
    by_block = stable_order(block_of)
    return longest_first[by_block], block_of[by_block]


def stable_order(keys: IntArray) -> IntArray:
    """Return the indices that stably sort integers from 0 up. numpy sorts 16 bits by radix, which is much faster."""
    is_short = bool(keys.size) and keys.max() < 2**16
    return np.argsort(keys.astype(np.uint16) if is_short else keys, kind="stable")


class _OpenBlocks:
    """The blocks with room left, in one queue per amount of room.

    `rooms` has a bit for each queue that is not empty, so that the smallest room that fits is found in one operation.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.num_blocks = 0
        self.rooms = 0
        self.waiting: defaultdict[int, deque[IntArray]] = defaultdict(deque)  # an empty queue takes 600 bytes

    def fill(self, size: int, num_rows: int) -> IntArray:
        """Place up to `num_rows` rows of one size into blocks of equal room; return the block of each placed row."""
        fitting = self.rooms >> size
        room = size + (fitting & -fitting).bit_length() - 1 if fitting else self.capacity
        rows_a_block = room // size
        wanted = -(-num_rows // rows_a_block)
        blocks = self._take(room, wanted) if fitting else self._open(wanted)
        chosen = np.repeat(blocks, rows_a_block)[:num_rows]
        rows_in_last = len(chosen) - (len(blocks) - 1) * rows_a_block
        is_last_full = rows_in_last == rows_a_block
        self._put(room - rows_a_block * size, blocks if is_last_full else blocks[:-1])
        if not is_last_full:
            self._put(room - rows_in_last * size, blocks[-1:])
        return chosen

    def _open(self, wanted: int) -> IntArray:
        self.num_blocks += wanted
        return np.arange(self.num_blocks - wanted, self.num_blocks)

    def _take(self, room: int, wanted: int) -> IntArray:
        """Remove and return at most `wanted` blocks of a queue, those that were put into it first."""
        queue = self.waiting[room]
        first = queue.popleft()
        if len(first) > wanted:
            queue.appendleft(first[wanted:])
        if not queue:
            self.rooms ^= 1 << room
        return first[:wanted]

    def _put(self, room: int, blocks: IntArray) -> None:
        if room and len(blocks):
            self.waiting[room].append(blocks)
            self.rooms |= 1 << room
