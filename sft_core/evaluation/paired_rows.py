"""The held-out rows that two models were both scored on, side by side.

Rows are known by source and number. Where one name stands for several rows (a source of several files counts in each
anew; a long row may lie in several blocks), what they add to the score is summed: they are drawn together or not at
all.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.evaluation.bootstrap import Interval, Numbers, paired_gain

_NAME = ["source", "row"]


@dataclass(frozen=True, slots=True)
class PairedRows:
    """What each row adds to a score of two models: of both, numerators and denominators [rows]."""

    first: tuple[Numbers, Numbers]
    second: tuple[Numbers, Numbers]

    def __len__(self) -> int:
        return len(self.first[0])

    @property
    def is_measured(self) -> bool:
        """Whether these rows make a score of both."""
        return bool(len(self) and self.first[1].sum() > 0 and self.second[1].sum() > 0)

    def gain(self, confidence: float) -> Interval:
        """The second score minus the first, over these rows, with the interval of the paired bootstrap."""
        return paired_gain(self.first, self.second, confidence)


def pair_rows(first: pa.Table | None, second: pa.Table | None, metric: str) -> PairedRows | None:
    """Put the rows that two models share side by side.

    Args:
        first: `SCORED_ITEMS` of one; None if it has none.
        second: `SCORED_ITEMS` of the other.
        metric: The score.

    Returns:
        None where one of them has no evidence by row for this score: a metric of the whole corpus has none.
    """
    if first is None or second is None:
        return None
    mine, other = _of_metric(first, metric), _of_metric(second, metric)
    if not len(mine) or not len(other):
        return None
    joined = mine.join(other, keys=_NAME, join_type="inner", left_suffix="_1", right_suffix="_2").sort_by(
        [(name, "ascending") for name in _NAME]  # a join keeps no order, and the draws go by it
    )
    return PairedRows(*((_column(joined, f"numerator_{i}"), _column(joined, f"denominator_{i}")) for i in (1, 2)))


def _of_metric(items: pa.Table, metric: str) -> pa.Table:
    """One line a row: source, row, numerator, denominator."""
    rows = items.filter(pc.equal(items["metric"], metric)).group_by(_NAME)
    summed = rows.aggregate([("numerator", "sum"), ("denominator", "sum")])
    return summed.select([*_NAME, "numerator_sum", "denominator_sum"]).rename_columns(
        [*_NAME, "numerator", "denominator"]
    )


def _column(table: pa.Table, name: str) -> Numbers:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
