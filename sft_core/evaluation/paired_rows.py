"""Held-out rows that two models were both scored on, in pairs.

Rows are identified by source and number. Several rows may have the same source and number: row numbers begin anew in
each file of a source, and a long row may be in several blocks. Their contributions to the score are added up, so that
they are drawn together or not at all.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.evaluation.bootstrap import Interval, Numbers, paired_gain

_NAME = ["source", "row"]


@dataclass(frozen=True, slots=True)
class PairedRows:
    """Contributions of the same rows to a score of two models: numerators and denominators, [rows] each."""

    first: tuple[Numbers, Numbers]
    second: tuple[Numbers, Numbers]

    def __len__(self) -> int:
        return len(self.first[0])

    @property
    def is_measured(self) -> bool:
        """True if both models have a score over these rows: neither sum of denominators is 0."""
        return bool(len(self) and self.first[1].sum() > 0 and self.second[1].sum() > 0)

    def gain(self, confidence: float) -> Interval:
        """Return the second score minus the first, over these rows, with the interval of the paired bootstrap."""
        return paired_gain(self.first, self.second, confidence)


def pair_rows(first: pa.Table | None, second: pa.Table | None, metric: str) -> PairedRows | None:
    """Pair the rows that two models were both scored on.

    Args:
        first: `SCORED_ITEMS` of the first model, or None.
        second: `SCORED_ITEMS` of the second model, or None.
        metric: Name of the score.

    Returns:
        None if a model has no items for this score, such as for a metric of the whole corpus.
    """
    if first is None or second is None:
        return None
    mine, other = _of_metric(first, metric), _of_metric(second, metric)
    if not len(mine) or not len(other):
        return None
    joined = mine.join(other, keys=_NAME, join_type="inner", left_suffix="_1", right_suffix="_2").sort_by(
        [(name, "ascending") for name in _NAME]  # a join keeps no order, and the draws depend on it
    )
    return PairedRows(*((_column(joined, f"numerator_{i}"), _column(joined, f"denominator_{i}")) for i in (1, 2)))


def _of_metric(items: pa.Table, metric: str) -> pa.Table:
    """Return a table with one line per row: source, row, numerator, denominator."""
    rows = items.filter(pc.equal(items["metric"], metric)).group_by(_NAME)
    summed = rows.aggregate([("numerator", "sum"), ("denominator", "sum")])
    return summed.select([*_NAME, "numerator_sum", "denominator_sum"]).rename_columns(
        [*_NAME, "numerator", "denominator"]
    )


def _column(table: pa.Table, name: str) -> Numbers:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
