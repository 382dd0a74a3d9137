"""Shards that hold rows of several files, and the way from a row of such a shard to its file.

    files     a.jsonl (3 rows)   b.jsonl (1 row)   c.jsonl (2 rows)
    shard     rows 0 1 2         row 3             rows 4 5           what the tables of all stages call them
    file      rows 0 1 2         row 0             rows 0 1           what people, ledger and traces call them

The tables of the stages need one number for each row, so they count through the shard. They begin with the number that
its first row has in its file, so that both numbers are the same where a shard holds rows of one file alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]
"""[rows]"""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive rows of a shard that were read from one file."""

    file: str
    """Its name below the source's folder."""
    start: int
    """What the shard calls the first of them."""
    first_row: int
    """What the file calls it."""
    rows: int

    @property
    def place(self) -> dict[str, Any]:
        """All but the file, as JSON values."""
        return {"start": self.start, "first_row": self.first_row, "rows": self.rows}


def parts_of_rows(parts: Sequence[Part], rows: Rows) -> Rows:
    """[rows] the part that each row of a shard belongs to; 0 for all where the shard has no parts."""
    if not parts:
        return np.zeros(len(rows), np.int64)
    return np.searchsorted([part.start for part in parts], rows, side="right") - 1


def rows_in_files(parts: Sequence[Part], rows: Rows) -> Rows:
    """[rows] the number in its file of each row of a shard."""
    if not parts:
        return rows
    shift = np.array([part.first_row - part.start for part in parts], np.int64)
    return np.asarray(rows + shift[parts_of_rows(parts, rows)])
