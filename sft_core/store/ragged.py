"""Ragged arrays: rows of different lengths in one flat array, and the offsets at which they begin and end.

    rows      [a b] [] [c d e]       lengths [2, 0, 3]
    values    [a b c d e]            offsets [0, 2, 2, 5]      row `i` is `values[offsets[i]:offsets[i + 1]]`

To take parts of rows, in any order, is one gather: `values[positions_of(starts, lengths)]`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


def offsets_of(lengths: Sequence[int] | npt.NDArray[np.integer | np.bool_]) -> IntArray:
    """Return where consecutive rows of these lengths begin and end: [2, 3] → [0, 2, 5].

    For booleans these are the numbers of true values before each position: [True, False, True] → [0, 1, 1, 2].
    """
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, dtype=np.int64, out=offsets[1:])
    return offsets


def positions_of(starts: IntArray | int, lengths: npt.NDArray[np.integer]) -> IntArray:
    """Return the positions of some ranges, one after the other: starts [7, 2], lengths [2, 3] → [7, 8, 2, 3, 4].

    Args:
        starts: [ranges] first position of each range, or one number for all.
        lengths: [ranges] number of positions of each range.
    """
    offsets = offsets_of(lengths)
    positions = np.repeat(starts - offsets[:-1], lengths)
    positions += np.arange(offsets[-1])  # in place: this array is as long as the values
    return positions
