"""Best fit decreasing: the longest row first, each into the fullest block that still has room for it.

    capacity 10, lengths [4, 8, 3, 5]  →  order 8, 5, 4, 3  →  [8] [5, 4], and 3 fits neither  →  [8] [5, 4] [3]

The same choices as TRL's (equal lengths keep their order, blocks of equal room are filled first in, first out), but
over all rows instead of 1,000 at a time, so that the result does not depend on how the work was cut. Blocks with equal
room wait in one queue; a number with one bit per room, 1 where the queue is not empty, gives the best fit in one
operation.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np


def best_fit_decreasing(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Assign rows to blocks.

    Args:
        lengths: [rows] tokens of each row, 1 to `capacity`.
        capacity: Tokens that a block can hold.

    Returns:
        Blocks in the order in which they were opened; each lists the indices of its rows in the order in which they
        were placed.

    Raises:
        ValueError: if a row is empty or longer than a block.
    """
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.size and not (sizes.min() >= 1 and sizes.max() <= capacity):
        raise ValueError(f"expected rows of 1 to {capacity} tokens, found {sizes.min()} to {sizes.max()}")
    blocks: list[list[int]] = []
    waiting: list[deque[int]] = [deque() for _ in range(capacity + 1)]
    rooms = 0
    for row in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[row])
        fitting = rooms >> size
        if fitting:
            room = size + (fitting & -fitting).bit_length() - 1
            block = waiting[room].popleft()
            rooms ^= 0 if waiting[room] else 1 << room
            blocks[block].append(row)
        else:
            room, block = capacity, len(blocks)
            blocks.append([row])
        if room > size:
            waiting[room - size].append(block)
            rooms |= 1 << (room - size)
    return blocks
