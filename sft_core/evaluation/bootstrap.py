"""How far a score would move if other rows had been held out: the percentile bootstrap (Efron, 1979) over rows.

A score is Σ numerator / Σ denominator over rows, whether it is a mean of answers or a loss per token. Rows are drawn
with replacement, as many as there are; the score of each draw is one of what the score could have been. Two models are
compared on the same draws, so that rows that are hard for both move neither against the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

DRAWS = 2_000
"""The ends of a 95 % interval then move by some hundredths of its width from seed to seed."""
_AT_A_TIME = 2**22
"""Counts in memory at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """What a number is likely to be."""

    value: float
    low: float
    high: float


def score_interval(numerators: Numbers, denominators: Numbers, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Give a score its interval.

    Args:
        numerators: [rows]
        denominators: [rows], their sum above 0.
        confidence: Share of the draws within the interval.
        seed: Of the draws.
    """
    drawn = _drawn(numerators[:, None], denominators[:, None], seed)[:, 0]
    return _interval(numerators.sum() / denominators.sum(), drawn, confidence)


def paired_gain(
    first: tuple[Numbers, Numbers], second: tuple[Numbers, Numbers], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Give the gain of a second score over a first one on the same rows its interval.

    Args:
        first: Numerators and denominators [rows] each.
        second: The same of the other, row by row.
        confidence: Share of the draws within the interval.
        seed: Of the draws.

    Returns:
        The second score minus the first.
    """
    numerators, denominators = (np.stack(pair, axis=1) for pair in zip(first, second, strict=True))
    drawn = _drawn(numerators, denominators, seed)
    before, after = numerators.sum(0) / denominators.sum(0)
    return _interval(after - before, drawn[:, 1] - drawn[:, 0], confidence)


def _interval(value: float, drawn: Numbers, confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))


def _drawn(numerators: Numbers, denominators: Numbers, seed: int) -> Numbers:
    """[draws, scores] of numerators and denominators [rows, scores]; NaN where a draw has no denominator."""
    scores = []
    for counts in _counts(len(numerators), seed):
        with np.errstate(invalid="ignore", divide="ignore"):
            scores.append((counts @ numerators) / (counts @ denominators))
    return np.concatenate(scores)


def _counts(num_rows: int, seed: int) -> Iterator[Numbers]:
    """[draws, rows] how often each row is drawn, some draws at a time."""
    random = np.random.default_rng(seed)
    draws = max(_AT_A_TIME // num_rows, 1)
    for start in range(0, DRAWS, draws):
        rows = random.integers(num_rows, size=(min(draws, DRAWS - start), num_rows))
        offsets = np.arange(len(rows))[:, None] * num_rows
        yield np.bincount((rows + offsets).ravel(), minlength=rows.size).reshape(rows.shape).astype(np.float64)
