"""Loss and held-out loss of a training over its steps, as one self-contained SVG.

The drawing is in `templates/loss_curve.svg.jinja`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sft_core.inspection.rendering import render

MAX_POINTS = 400
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
    curves = [(label, colour, thinned(points_of(lines, name))) for name, label, colour in CURVES]
    drawn = [curve for curve in curves if curve[2]]
    if not drawn:
        return None
    last_step = max(max(step for step, _ in points) for _, _, points in drawn) or 1
    highest = max(max(value for _, value in points) for _, _, points in drawn) * HEADROOM or 1.0
    return render("loss_curve.svg.jinja", curves=drawn, last_step=last_step, highest=highest)


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
