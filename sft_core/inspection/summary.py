"""The data report as one page of Markdown, for Prefect and MLflow: kept rows, rejected rows and reasons, lengths."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sft_core.data.gates import GateResult
from sft_core.inspection.charts import round_up
from sft_core.inspection.figures import Figures
from sft_core.inspection.rendering import render

MAX_REASONS = 10
MAX_SOURCES = 20
LENGTH_BARS = 12
REASON_CHARS = 100


def summary(figures: Figures, gates: Sequence[GateResult]) -> str:
    """Build the page.

    Args:
        figures: Statistics of the data set.
        gates: Results of the checks against the recipe's limits.
    """
    return render(
        "summary.md.jinja",
        figures=figures,
        gates=gates,
        lengths=_count_lengths(figures.whole_lengths),
        max_sources=MAX_SOURCES,
        max_reasons=MAX_REASONS,
        reason_chars=REASON_CHARS,
    )


def _count_lengths(lengths: npt.NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """Return the shortest and longest length of each bar, and its number of rows, from the first bar that has rows."""
    if not len(lengths):
        return []
    step = max(1, round(round_up(int(lengths.max()) / LENGTH_BARS)))
    steps = (lengths - 1).clip(0) // step
    shortest = int(steps.min())
    counts = np.bincount(steps).tolist()[shortest:]
    return [(number * step + 1, (number + 1) * step, rows) for number, rows in enumerate(counts, start=shortest)]
