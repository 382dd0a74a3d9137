"""Shards with rows of several files, and the mapping from a row of such a shard to its file.

    files     a.jsonl (3 rows)   b.jsonl (1 row)   c.jsonl (2 rows)
    shard     rows 0 1 2         row 3             rows 4 5           numbers in the tables of all stages
    file      rows 0 1 2         row 0             rows 0 1           numbers shown to people, in ledgers and in traces

The tables of the stages need one number for each row, so they number the rows of the whole shard. They begin with the
number of the shard's first row in its file, so that both numbers are the same if a shard has rows of only one file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
"""[rows] row numbers, or one part number per row."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a shard that were read from one file."""

    file: str
    """Path of the file below the source's folder."""
    start: int
    """Number of the first row in the shard."""
    first_row: int
    """Number of the same row in the file."""
    rows: int

    @property
    def place(self) -> dict[str, Any]:
        """All fields except the file, as JSON values."""
        return {"start": self.start, "first_row": self.first_row, "rows": self.rows}


def parts_of_rows(parts: Sequence[Part], rows: Rows) -> Rows:
    """Return [rows] the index of the part of each row of a shard; all 0 if the shard has no parts."""
    if not parts:
        return np.zeros(len(rows), np.int64)
    return np.searchsorted([part.start for part in parts], rows, side="right") - 1


def rows_in_files(parts: Sequence[Part], rows: Rows) -> Rows:
    """Return [rows] the number in its file of each row of a shard."""
    if not parts:
        return rows
    shift = np.array([part.first_row - part.start for part in parts], np.int64)
    return np.asarray(rows + shift[parts_of_rows(parts, rows)])
