"""Percentile bootstrap (Efron, 1979) over rows: an estimate of how much a score depends on which rows are held out.

A score is Σ numerator / Σ denominator over rows, whether it is a mean of answers or a loss per token. Rows are drawn
with replacement, as many as there are, and the score of each draw is one possible value of the score. Two models are
compared on the same draws, so that rows that are hard for both do not affect the difference.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

DRAWS = 2_000
"""Number of draws. With this many, the ends of a 95 % interval vary by a few hundredths of its width between seeds."""
_AT_A_TIME = 2**22
"""Number of counts [draws x rows] in memory at a time."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the ends of its confidence interval."""

    value: float
    low: float
    high: float


def score_interval(numerators: Numbers, denominators: Numbers, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Compute the interval of a score.

    Args:
        numerators: [rows]
        denominators: [rows], with a sum above 0.
        confidence: Share of the draws within the interval.
        seed: Seed of the draws.
    """
    drawn = _drawn(numerators[:, None], denominators[:, None], seed)[:, 0]
    return _interval(numerators.sum() / denominators.sum(), drawn, confidence)


def paired_gain(
    first: tuple[Numbers, Numbers], second: tuple[Numbers, Numbers], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Compute the interval of the difference between two scores on the same rows.

    Args:
        first: Numerators and denominators of the first score, [rows] each.
        second: Those of the second score, for the same rows in the same order.
        confidence: Share of the draws within the interval.
        seed: Seed of the draws.

    Returns:
        The second score minus the first, with its interval.
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
    """Return [draws, scores] from numerators and denominators [rows, scores]; NaN if the denominator of a draw is 0."""
    scores = []
    for counts in _counts(len(numerators), seed):
        with np.errstate(invalid="ignore", divide="ignore"):
            scores.append((counts @ numerators) / (counts @ denominators))
    return np.concatenate(scores)


def _counts(num_rows: int, seed: int) -> Iterator[Numbers]:
    """Yield [draws, rows] how often each row is drawn, for some draws at a time."""
    random = np.random.default_rng(seed)
    draws = max(_AT_A_TIME // num_rows, 1)
    for start in range(0, DRAWS, draws):
        rows = random.integers(num_rows, size=(min(draws, DRAWS - start), num_rows))
        offsets = np.arange(len(rows))[:, None] * num_rows
        yield np.bincount((rows + offsets).ravel(), minlength=rows.size).reshape(rows.shape).astype(np.float64)
