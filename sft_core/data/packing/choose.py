"""Choose the rows of the data set, and how often each is repeated, from the index of all rows.

    rows        a b c a d      d is in a shard with `repeat` 1.5, the others have `repeat` 1.0
    duplicates  the second a   (dropped if `drop_duplicates`, counted in any case)
    chosen      a b c d d      if the hash of d is in the lower half, else a b c d

All rows occur once before any row is repeated, so that in a `wrapped` block no row directly follows itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sft_core.data.draw import is_drawn
from sft_core.data.packing.config import PackingConfig
from sft_core.data.token_rows import UNKNOWN_ID, TokenRows
from sft_core.errors import DataError
from sft_core.store.ragged import IntArray

REPEAT_SALT = 0x5265706561740001
"""Arbitrary fixed number that differs from the salts of other draws."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """The chosen rows of one split, as positions in `TokenRows`."""

    rows: IntArray
    """[occurrences] chosen rows; a row occurs once for each time that it is in the data set."""
    num_rows: int
    """Number of distinct rows among them."""
    num_duplicates: int
    """Number of rows equal to an earlier row of the split, dropped or not."""
    dropped: IntArray
    """[dropped] duplicates that were dropped."""
    earlier: IntArray
    """[dropped] the first row that each dropped row is equal to."""
    left_out: IntArray
    """[omitted] rows that a `repeat` below 1 omits."""

    @property
    def distinct(self) -> IntArray:
        """Return each chosen row once, in order."""
        return self.rows[: self.num_rows]


def choose_rows(config: PackingConfig, rows: TokenRows, split: str, repeats: Sequence[float]) -> Choice:
    """Choose the rows of a split.

    Args:
        config: The recipe's `packing` section.
        rows: All rows.
        split: `train` or `eval`. Held-out rows are never repeated.
        repeats: [shards] value of `repeat`: how often the data set contains each row of a shard.

    Raises:
        DataError: if there are rows to train on, and `repeat` omits all of them.
    """
    own = rows.of_split(split)
    times = _times(rows, own, np.asarray(repeats, np.float64)) if split == "train" else np.ones_like(own)
    present = own[times > 0]
    if len(own) and not len(present):
        raise DataError(f"no row is left to train on: `repeat` of the sources omits all {len(own)}; increase one")
    is_later, first = _equal_to_earlier(rows.example_id[present])
    is_kept = ~is_later if config.drop_duplicates else np.ones_like(is_later)
    kept, times = present[is_kept], times[times > 0][is_kept]
    passes = [kept[times > number] for number in range(int(times.max(initial=0)))]
    return Choice(
        rows=np.concatenate([kept[:0], *passes]),
        num_rows=len(kept),
        num_duplicates=int(is_later.sum()),
        dropped=present[~is_kept],
        earlier=present[first[~is_kept]],
        left_out=np.setdiff1d(own, present, assume_unique=True),
    )


def _times(rows: TokenRows, own: IntArray, repeats: npt.NDArray[np.float64]) -> IntArray:
    """[own] Return how often each row is taken: the integer part of `repeat`, and once more for a share of the rows."""
    wanted = repeats[rows.shard_of(own)]
    whole = np.floor(wanted)
    ids = rows.example_id[own]
    ids = np.where(ids == UNKNOWN_ID, own.astype(np.uint64), ids)
    return (whole + is_drawn(ids, wanted - whole, REPEAT_SALT)).astype(np.int64)


def _equal_to_earlier(ids: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """[rows] Return whether an earlier row has the same id, and the position of the first row that has it."""
    _, first, group = np.unique(ids, return_index=True, return_inverse=True)
    first_of_each = first[group]
    return (first_of_each != np.arange(len(ids))) & (ids != UNKNOWN_ID), first_of_each
