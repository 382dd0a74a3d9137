"""Gain of one model over another on the same rows, for each score."""

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from sft_core.evaluation.paired_rows import pair_rows

CONFIDENCE = 0.95


class ScoreGain(BaseModel):
    """Difference of two scores, the second minus the first, over the rows that both models were scored on."""

    value: float
    low: float
    high: float
    """`low` and `high` are the ends of the 95 % bootstrap interval over the choice of held-out rows."""
    num_rows: int


def gains_of(before: pa.Table, after: pa.Table) -> dict[str, ScoreGain]:
    """Compute the gains of one model over another.

    Scores per token are compared only if both models count the same tokens of each row. Another tokenizer splits a text
    into other tokens, and the loss per token is then a different quantity.

    Args:
        before: `SCORED_ITEMS` of one model.
        after: `SCORED_ITEMS` of the other model.

    Returns:
        Score → gain, for scores that both models have and that can be compared.
    """
    gains = {}
    shared = set(after["metric"].unique().to_pylist())
    for metric in before["metric"].unique().to_pylist():
        rows = pair_rows(before, after, metric) if metric in shared else None
        if rows is None or not rows.is_measured or not np.array_equal(rows.first[1], rows.second[1]):
            continue
        gain = rows.gain(CONFIDENCE)
        gains[metric] = ScoreGain(value=gain.value, low=gain.low, high=gain.high, num_rows=len(rows))
    return gains
