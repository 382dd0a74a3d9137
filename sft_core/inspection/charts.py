"""Bins and axes of histograms; `templates/charts.html.jinja` draws them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

NUM_BARS = 48
NUM_GRIDLINES, NUM_TICKS = 3, 7


@dataclass(frozen=True, slots=True)
class Bins:
    """Histogram with bins of equal width. Values beyond the last edge are counted in the last bin."""

    edges: npt.NDArray[np.float64]
    """Edges of the bins, shape [bars + 1]."""
    counts: npt.NDArray[np.int64]
    """Number of values in each bin, shape [bars]."""
    largest: int
    """Largest value."""

    @property
    def reach(self) -> float:
        """Upper edge of the last bin."""
        return float(self.edges[-1])

    @property
    def tallest(self) -> int:
        """Number of values in the fullest bin, at least 1."""
        return max(int(self.counts.max()), 1)

    @property
    def is_cut(self) -> bool:
        """True if the last bin contains values beyond its upper edge."""
        return self.largest > self.reach

    @property
    def bars(self) -> Iterator[tuple[float, float, int]]:
        """Lower edge, upper edge and count of each bin that is not empty."""
        yield from (bar for bar in zip(self.edges[:-1], self.edges[1:], self.counts.tolist(), strict=True) if bar[2])

    @property
    def gridlines(self) -> list[float]:
        """Round counts at which the vertical axis is marked."""
        return _marks(self.tallest, NUM_GRIDLINES)[1:]

    @property
    def ticks(self) -> list[float]:
        """Round values at which the horizontal axis is marked."""
        return _marks(self.reach, NUM_TICKS)


def bins_of(values: npt.NDArray[np.int64], limit: int | None) -> Bins:
    """Count values in at most 48 bins, from 0 to 1.1 times their 99.5th percentile.

    Args:
        values: Values that are not negative.
        limit: A limit, which the axis includes if the largest value exceeds a quarter of it.
    """
    largest = int(values.max(initial=1))
    usual = float(np.quantile(values, 0.995)) if len(values) else 1.0
    reach = max(usual * 1.1, 1.15 * limit if limit and largest > limit / 4 else 0.0)
    step = round_up(min(reach, largest + 1) / NUM_BARS if not limit else reach / NUM_BARS)
    num_bars = max(1, min(NUM_BARS, int(np.ceil((reach + 1) / step))))
    edges = np.arange(num_bars + 1, dtype=np.float64) * step
    counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
    return Bins(edges, counts, largest)


def _marks(reach: float, num_marks: int) -> list[float]:
    step = round_up(reach / num_marks)
    return [step * number for number in range(int(reach // step) + 1)]


def round_up(value: float) -> float:
    """Round up to the next of 1, 2, 5, 10, 20, 50, …"""
    if value <= 1:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999))
