"""Measurements that need all rows together and are taken before packing.

They count every row, but read only the indexes. A single shard cannot show whether a prompt of its rows is held out in
another shard, or what share of all rows ends without a stop token. The indexes of a million rows take 50 MB; the tokens
stay on disk.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sft_core.data.token_rows import UNKNOWN_ID, TokenRows
from sft_core.data.tokens import CUT_TARGETS, NO_TARGET
from sft_core.store.ledger import Ledger, Rejection
from sft_core.store.ragged import IntArray

WORST_ROWS = 3
MASKED = (NO_TARGET, CUT_TARGETS)
"""Reasons of rejections of rows that have no target token."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Number of rows (or tokens) with a property, and the places of the first or worst such rows."""

    count: int
    worst: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Audit:
    """Counts over all rows of a data set."""

    ledger: Ledger
    rejected: Finding
    masked: Finding
    truncated: Finding
    """Tokens that were cut off; the rows that lost most come first."""
    unstopped: Finding
    doubled_bos: Finding
    overlapping: Finding
    """Trained rows whose prompt is also the prompt of a held-out row."""


def audit_rows(ledger: Ledger, rejections: Iterable[Rejection], rows: TokenRows) -> Audit:
    """Count each property over all rows.

    Args:
        ledger: The sum of all shards' ledgers.
        rejections: All rejected rows; iterated once, and only the first few are kept.
        rows: The rows of all shards, as their indexes record them.
    """
    rejected, masked = _first_places(rejections)
    cut = rows.tokens_truncated
    longest_cut = np.argsort(-cut, kind="stable")[: min(WORST_ROWS, int(np.count_nonzero(cut)))]
    held_out = rows.prompt_id[rows.is_eval & (rows.prompt_id != UNKNOWN_ID)]
    return Audit(
        ledger=ledger,
        rejected=Finding(ledger.rows_rejected, rejected),
        masked=Finding(sum(ledger.rejected_by_reason.get(reason, 0) for reason in MASKED), masked),
        truncated=Finding(ledger.tokens_truncated, _places(rows, longest_cut)),
        unstopped=_finding(rows, ~rows.ends_with_stop),
        doubled_bos=_finding(rows, rows.has_doubled_bos),
        overlapping=_finding(rows, ~rows.is_eval & np.isin(rows.prompt_id, held_out)),
    )


def _first_places(rejections: Iterable[Rejection]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the places of the first rejected rows, and of the first rows rejected because they have no target."""
    rejected: list[str] = []
    masked: list[str] = []
    for rejection in rejections:
        for places, belongs in ((rejected, True), (masked, rejection.reason in MASKED)):
            if belongs and len(places) < WORST_ROWS:
                places.append(rejection.place)
    return tuple(rejected), tuple(masked)


def _finding(rows: TokenRows, is_found: npt.NDArray[np.bool_]) -> Finding:
    found = np.flatnonzero(is_found)
    return Finding(len(found), _places(rows, found[:WORST_ROWS]))


def _places(rows: TokenRows, chosen: IntArray) -> tuple[str, ...]:
    return tuple(f"{rows.source_of(row)} row {rows.row[row]}" for row in chosen.tolist())
