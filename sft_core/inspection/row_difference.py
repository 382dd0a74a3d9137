"""Comparison of two readings of a source: each row is the same, moved, changed, added or removed.

A row has a place (its file and its number in that file) and a content (the record as it was read). Rows are matched by
these rules in order, and a row that is matched takes no part in later rules:

    1  same place, same content         same
    2  same content at another place    moved; among several equal rows, the first are matched
    3  same place, different content    changed
    4  rows that are not matched        removed (before), added (after)

So a row that is inserted at the top of a file is one added row, although every row after it has a new number:

    before  a b c      after  x a b d      a and b moved; c is removed, x and d are added

(c was row 2. Row 2 is now b, which is already matched, so c did not change into another row.)
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.int64]
Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SourceRows:
    """Rows of one source as integer codes. Equal codes mean equal places or contents, within and across readings."""

    place: Codes
    """Code of each row's place, shape [rows]; all are distinct."""
    content: Codes
    """Code of each row's content, shape [rows]."""

    def __len__(self) -> int:
        return len(self.place)


@dataclass(frozen=True, slots=True, eq=False)
class RowChanges:
    """Rows by kind of change. Every row before is same, moved, changed or removed; every row after is same, moved,
    changed or added."""

    num_same: int
    num_moved: int
    changed: Positions
    """Positions of changed rows in the later reading, ascending."""
    added: Positions
    """Positions of added rows in the later reading, ascending."""
    removed: Positions
    """Positions of removed rows in the earlier reading, ascending."""


def match_rows(before: SourceRows, after: SourceRows) -> RowChanges:
    """Match the rows of two readings in O(n log n), the cost of sorting."""
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
    """Return the positions, in each reading, of the places that both readings have."""
    _, at_before, at_after = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    return at_before, at_after


def _in_both(before: Codes, after: Codes) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Mark the rows of each reading that have a match with equal content in the other reading.

    Of k equal rows in one reading and m in the other, the first min(k, m) of each are matched.
    """
    contents, codes = np.unique(np.concatenate([before, after]), return_inverse=True)
    codes_before, codes_after = codes[: len(before)], codes[len(before) :]
    pairs = np.minimum(*(np.bincount(side, minlength=len(contents)) for side in (codes_before, codes_after)))
    return _rank_among_equals(codes_before) < pairs[codes_before], _rank_among_equals(codes_after) < pairs[codes_after]


def _rank_among_equals(codes: npt.NDArray[Any]) -> Positions:
    """Return, for each row, the number of equal codes before it, shape [rows]."""
    order = np.argsort(codes, kind="stable")
    in_order = codes[order]
    starts = np.searchsorted(in_order, in_order, side="left")
    ranks = np.empty(len(codes), np.int64)
    ranks[order] = np.arange(len(codes)) - starts
    return ranks
