"""Which rows are in the data set, and how often, from the index of all of them.

    rows        a b c a d      d is of a shard with `repeat` 1.5, the others are repeated 1.0 times
    duplicates  the second a   (dropped if `drop_duplicates`, counted in any case)
    chosen      a b c d d      if the hash of d is in the lower half, else a b c d

All rows come once before any comes again, so that a `wrapped` block does not repeat a row right after itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sft_core.data.block_plan import IntArray
from sft_core.data.packing.config import PackingConfig
from sft_core.data.packing.draw import is_drawn
from sft_core.data.token_rows import UNKNOWN_ID, TokenRows
from sft_core.errors import DataError

REPEAT_SALT = 0x5265706561740001
"""Any fixed number, other than the salts of other draws."""


@dataclass(frozen=True, slots=True, eq=False)
class Choice:
    """Rows of one split, as positions in `TokenRows`."""

    rows: IntArray
    """[occurrences] the chosen ones, once for each time that they are repeated."""
    num_rows: int
    """How many of them are different rows."""
    num_duplicates: int
    """Rows equal to an earlier one of the split, dropped or not."""
    dropped: IntArray
    """[dropped] those of them that were dropped for it."""
    earlier: IntArray
    """[dropped] which row each of these is equal to."""
    left_out: IntArray
    """[left out] those that a `repeat` below 1 leaves out."""

    @property
    def distinct(self) -> IntArray:
        """Each chosen row once, in order."""
        return self.rows[: self.num_rows]


def choose_rows(config: PackingConfig, rows: TokenRows, split: str, repeats: Sequence[float]) -> Choice:
    """Choose the rows of a split.

    Args:
        config: The `packing` section.
        rows: All rows.
        split: `train` or `eval`. Held-out rows are never repeated.
        repeats: [shards] how often the data set gets each row of a shard.

    Raises:
        DataError: if there are rows to train on, and `repeat` leaves none.
    """
    own = rows.of_split(split)
    times = _times(rows, own, np.asarray(repeats, np.float64)) if split == "train" else np.ones_like(own)
    present = own[times > 0]
    if len(own) and not len(present):
        raise DataError(f"no row is left to train on: `repeat` of the sources leaves out all {len(own)}; raise one")
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
    """[own] how often each row is taken: the whole part of `repeat`, and once more for a share of the rows."""
    wanted = repeats[rows.shard_of(own)]
    whole = np.floor(wanted)
    ids = rows.example_id[own]
    ids = np.where(ids == UNKNOWN_ID, own.astype(np.uint64), ids)
    return (whole + is_drawn(ids, wanted - whole, REPEAT_SALT)).astype(np.int64)


def _equal_to_earlier(ids: npt.NDArray[np.uint64]) -> tuple[npt.NDArray[np.bool_], IntArray]:
    """[rows] whether an earlier one has the same id, and the position of the first that has it."""
    _, first, group = np.unique(ids, return_index=True, return_inverse=True)
    first_of_each = first[group]
    return (first_of_each != np.arange(len(ids))) & (ids != UNKNOWN_ID), first_of_each
