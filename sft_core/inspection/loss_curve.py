"""Loss and held-out loss of a training over its steps, as one self-contained SVG.

Its background is white, so that it is readable on dark and on light pages.
"""

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 760, 320
LEFT, RIGHT, TOP, BOTTOM = 56, 744, 34, 286
MAX_POINTS = 400
NUM_TICKS = 5
HEADROOM = 1.05
CURVES = (("loss", "loss", "#2f6fd0"), ("eval_loss", "held-out loss", "#c9720c"))
"""Name in `metrics.jsonl`, label, and colour of each curve."""
Point = tuple[float, float]


def loss_curve(lines: Iterable[Mapping[str, Any]]) -> str | None:
    """Draw loss and held-out loss.

    Args:
        lines: Lines of `metrics.jsonl`, with `step`, and `loss` or `eval_loss`.

    Returns:
        The SVG; None if no line has a finite loss.
    """
    lines = list(lines)
    curves = [(words, colour, thinned(points_of(lines, name))) for name, words, colour in CURVES]
    drawn = [curve for curve in curves if curve[2]]
    if not drawn:
        return None
    last_step = max(max(step for step, _ in points) for _, _, points in drawn) or 1
    highest = max(max(value for _, value in points) for _, _, points in drawn) * HEADROOM or 1.0
    parts = [_gridline(highest * part / NUM_TICKS, highest) for part in range(NUM_TICKS + 1)]
    parts += [_tick(last_step * part / NUM_TICKS, last_step) for part in range(NUM_TICKS + 1)]
    parts += [_curve(points, colour, last_step, highest) for _, colour, points in drawn]
    parts += [_legend(number, words, colour) for number, (words, colour, _) in enumerate(drawn)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'font-family="sans-serif" font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="#fff"/>'
        f'{"".join(parts)}<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle" fill="#555">step</text>'
        "</svg>"
    )


def points_of(lines: Iterable[Mapping[str, Any]], name: str) -> list[Point]:
    """Return (step, value) of one curve, ordered by step.

    Values that are not finite are skipped. If a step was logged twice, the last value counts.
    """
    found = {line["step"]: float(line[name]) for line in lines if name in line and math.isfinite(line[name])}
    return sorted(found.items())


def thinned(points: Sequence[Point]) -> list[Point]:
    """Return at most 400 of the points, spaced evenly, including the first and the last."""
    if len(points) <= MAX_POINTS:
        return list(points)
    return [points[round(number * (len(points) - 1) / (MAX_POINTS - 1))] for number in range(MAX_POINTS)]


def _curve(points: Sequence[Point], colour: str, last_step: float, highest: float) -> str:
    places = [f"{_x(step, last_step):.1f},{_y(value, highest):.1f}" for step, value in points]
    dots = [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in (place.split(",") for place in places)]
    line = f'<polyline points="{" ".join(places)}" fill="none" stroke="{colour}" stroke-width="2"/>'
    return line + ("".join(dots) if len(places) <= MAX_POINTS // 10 else "")


def _gridline(value: float, highest: float) -> str:
    y = _y(value, highest)
    line = f'<line x1="{LEFT}" y1="{y:.1f}" x2="{RIGHT}" y2="{y:.1f}" stroke="#e4e4e0"/>'
    return f'{line}<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#555">{value:.3g}</text>'


def _tick(step: float, last_step: float) -> str:
    x = _x(step, last_step)
    return f'<text x="{x:.1f}" y="{BOTTOM + 16}" text-anchor="middle" fill="#555">{step:,.0f}</text>'


def _legend(number: int, words: str, colour: str) -> str:
    x = LEFT + 130 * number
    line = f'<line x1="{x}" y1="18" x2="{x + 22}" y2="18" stroke="{colour}" stroke-width="3"/>'
    return f'{line}<text x="{x + 28}" y="22" fill="#222">{html.escape(words)}</text>'


def _x(step: float, last_step: float) -> float:
    return LEFT + (RIGHT - LEFT) * step / last_step


def _y(value: float, highest: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * max(value, 0.0) / highest
