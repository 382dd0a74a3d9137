"""What one model gains over another on the same rows, score by score."""

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from sft_core.evaluation.paired_rows import pair_rows

CONFIDENCE = 0.95


class Gain(BaseModel):
    """A second score minus a first one, over the rows that both have."""

    value: float
    low: float
    high: float
    """Between `low` and `high` it would be in 95 of 100 cases, had other rows been held out."""
    num_rows: int


def gains_of(before: pa.Table, after: pa.Table) -> dict[str, Gain]:
    """Pair the rows of two models.

    Numbers per token are compared only where both models count the same tokens of each row: another tokenizer cuts a
    text into other tokens, and a loss per token is then another measure.

    Args:
        before: `SCORED_ITEMS` of one model.
        after: Of the other.

    Returns:
        By the names of the scores that both have and that can be compared.
    """
    gains = {}
    shared = set(after["metric"].unique().to_pylist())
    for metric in before["metric"].unique().to_pylist():
        rows = pair_rows(before, after, metric) if metric in shared else None
        if rows is None or not rows.is_measured or not np.array_equal(rows.first[1], rows.second[1]):
            continue
        gain = rows.gain(CONFIDENCE)
        gains[metric] = Gain(value=gain.value, low=gain.low, high=gain.high, num_rows=len(rows))
    return gains
