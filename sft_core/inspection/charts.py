"""Charts as inline SVG: a histogram, and one stacked bar."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sft_core.inspection.markup import count, escaped, share

WIDTH, HEIGHT, BASELINE, TOP = 600, 190, 162, 26
LEFT, RIGHT = 58, 592
NUM_BARS = 48


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
    def is_cut(self) -> bool:
        """True if the last bin contains values beyond its upper edge."""
        return self.largest > float(self.edges[-1])


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


def bars(bins: Bins, what: str, limit: int | None, limit_name: str) -> str:
    """Draw a histogram of token counts, with a vertical line at a limit.

    Args:
        bins: The histogram.
        what: Unit that is counted: `rows` or `blocks`.
        limit: Position of the line in tokens; None draws no line.
        limit_name: Label of the line.
    """
    reach = float(bins.edges[-1])
    tallest = max(int(bins.counts.max()), 1)
    step = (RIGHT - LEFT) / len(bins.counts)
    lines = round_up(tallest / 3)
    parts = [_gridline(lines * number, tallest) for number in range(1, int(tallest // lines) + 1)]
    for number, rows in enumerate(bins.counts.tolist()):
        height = (BASELINE - TOP) * rows / tallest
        if not rows:
            continue
        height = max(height, 1.5)  # a bar of one row among a million stays visible
        is_last = number == len(bins.counts) - 1 and bins.is_cut
        upto = f"more, at most {bins.largest:,}" if is_last else f"{bins.edges[number + 1] - 1:,.0f}"
        css = "over" if limit is not None and bins.edges[number] >= limit else "bar"
        parts.append(
            f'<rect class="{css}" x="{LEFT + number * step + 0.5:.1f}" y="{BASELINE - height:.1f}" '
            f'width="{max(step - 1, 0.8):.1f}" height="{height:.1f}">'
            f"<title>{bins.edges[number]:,.0f} to {upto} tokens: {rows:,} {what}</title></rect>"
        )
    parts += [_tick(value, reach) for value in _ticks(reach)]
    parts.append(f'<text class="tick" x="{LEFT - 6}" y="12" text-anchor="end">{escaped(what)}</text>')
    if limit is not None and limit <= reach:
        parts.append(_limit_line(LEFT + (RIGHT - LEFT) * limit / reach, limit_name))
    return (
        f'<div class="wide"><svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="tokens of the {escaped(what)}">'
        f'{"".join(parts)}<line class="axis" x1="{LEFT}" y1="{BASELINE}" x2="{RIGHT}" y2="{BASELINE}"/></svg></div>'
    )


def stacked(parts: Sequence[tuple[str, str, int]]) -> str:
    """Draw one stacked bar, with a legend that lists the value and share of each part.

    Args:
        parts: Name, CSS class of the colour, and value of each part.
    """
    whole = sum(value for _, _, value in parts)
    x, drawn = 0.0, []
    for name, css, value in parts:
        width = 100 * value / max(whole, 1)
        title = f"<title>{escaped(name)}: {count(value)} ({share(value, whole)})</title>"
        drawn.append(f'<rect class="{css}" x="{x:.3f}" y="0" width="{width:.3f}" height="10">{title}</rect>')
        x += width
    legend = "".join(
        f'<li><i class="{css}"></i>{escaped(name)} <b>{count(value)}</b> <span>{share(value, whole)}</span></li>'
        for name, css, value in parts
    )
    svg = f'<svg class="stack" viewBox="0 0 100 10" preserveAspectRatio="none" role="img">{"".join(drawn)}</svg>'
    return f'{svg}<ul class="legend">{legend}</ul>'


def _gridline(value: float, tallest: int) -> str:
    y = BASELINE - (BASELINE - TOP) * value / tallest
    line = f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}"/>'
    return f'{line}<text class="tick" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:,.0f}</text>'


def _tick(value: float, reach: float) -> str:
    x = LEFT + (RIGHT - LEFT) * value / reach
    anchor = "start" if value == 0 else "end" if x > RIGHT - 20 else "middle"
    return f'<text class="tick" x="{x:.1f}" y="{BASELINE + 16}" text-anchor="{anchor}">{value:,.0f}</text>'


def _limit_line(x: float, name: str) -> str:
    side = ("end", -5) if x > WIDTH / 2 else ("start", 5)
    return (
        f'<line class="limit" x1="{x:.1f}" y1="8" x2="{x:.1f}" y2="{BASELINE}"/>'
        f'<text class="limit" x="{x + side[1]:.1f}" y="16" text-anchor="{side[0]}">{escaped(name)}</text>'
    )


def _ticks(reach: float) -> list[float]:
    step = round_up(reach / 7)
    return [step * number for number in range(int(reach // step) + 1)]


def round_up(value: float) -> float:
    """Round up to the next of 1, 2, 5, 10, 20, 50, …"""
    if value <= 1:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value * 0.999))
