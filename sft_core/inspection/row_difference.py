"""What became of the rows of a source between two readings of it: the same, moved, changed, added or removed.

A row has a place (its file and its number in it) and a content (the record as it was read). Rows are matched in turn,
and a matched row is out of the game:

    1  same place, same content    the same
    2  same content elsewhere      moved; of several equal ones, the first are taken
    3  same place, other content   changed
    4  what is left                removed before, added after

So a row that is put in at the top of a file is one row added, though every row behind it has another number:

    before  a b c      after  x a b d      a and b moved; c is removed, x and d are added

(c was row 2, and what is row 2 now is b, which found its partner: so c did not change into anything.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SourceRows:
    """Rows of one source, each [rows]; equal codes mean equal places or contents, on both sides."""

    place: Codes
    """No two rows have the same."""
    content: Codes

    def __len__(self) -> int:
        return len(self.place)


@dataclass(frozen=True, slots=True, eq=False)
class RowChanges:
    """Which rows are in which state. Every row before is the same, moved, changed or removed; every row after is the
    same, moved, changed or added."""

    num_same: int
    num_moved: int
    changed: Positions
    """[changed] positions after, ascending."""
    added: Positions
    """[added] positions after, ascending."""
    removed: Positions
    """[removed] positions before, ascending."""


def match_rows(before: SourceRows, after: SourceRows) -> RowChanges:
    """Match the rows of two readings; sorting is all that it costs."""
    left_before, left_after = np.arange(len(before)), np.arange(len(after))
    at_before, at_after = _at_same_places(before.place, after.place)
    is_same = before.content[at_before] == after.content[at_after]
    left_before = np.delete(left_before, at_before[is_same])
    left_after = np.delete(left_after, at_after[is_same])

    found_before, found_after = _in_both(before.content[left_before], after.content[left_after])
    num_moved = int(found_before.sum())
    left_before, left_after = left_before[~found_before], left_after[~found_after]

    at_before, at_after = _at_same_places(before.place[left_before], after.place[left_after])
    return RowChanges(
        num_same=int(is_same.sum()),
        num_moved=num_moved,
        changed=np.sort(left_after[at_after]),
        added=np.delete(left_after, at_after),
        removed=np.delete(left_before, at_before),
    )


def _at_same_places(before: Codes, after: Codes) -> tuple[Positions, Positions]:
    """Positions on both sides of the places that both have."""
    _, at_before, at_after = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    return at_before, at_after


def _in_both(before: Codes, after: Codes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Which rows of each side find a partner of their content: of k equal ones on one side and m on the other, the
    first min(k, m) of each."""
    contents, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
    codes_before, codes_after = codes[: len(before)], codes[len(before) :]
    pairs = np.minimum(*(np.bincount(side, minlength=len(contents)) for side in (codes_before, codes_after)))
    return _rank_among_equals(codes_before) < pairs[codes_before], _rank_among_equals(codes_after) < pairs[codes_after]


def _rank_among_equals(codes: npt.NDArray[Any]) -> Positions:
    """[rows] how many equal ones come before each."""
    order = np.argsort(codes, kind="stable")
    in_order = codes[order]
    starts = np.searchsorted(in_order, in_order, side="left")
    ranks = np.empty(len(codes), np.int64)
    ranks[order] = np.arange(len(codes)) - starts
    return ranks
