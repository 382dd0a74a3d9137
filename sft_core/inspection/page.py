"""The data report as one self-contained HTML page. Its structure is in `templates/report.html.jinja`."""

from collections.abc import Mapping, Sequence

from sft_core.data.gates import GateResult
from sft_core.inspection.charts import bins_of
from sft_core.inspection.figures import Figures
from sft_core.inspection.rendering import render
from sft_core.inspection.rows import RowView
from sft_core.inspection.thumbnails import Thumbnails

MAX_REASONS = 25
MAX_SOURCES = 200
WORDS = {
    "trained": ("trained", "trained"),
    "held_out": ("held out", "held"),
    "truncated": ("cut off", "lost"),
    "rejected": ("rejected", "rejected"),
}
"""Part of the ledger → its label and its CSS class."""


def page(
    title: str,
    figures: Figures,
    gates: Sequence[GateResult],
    worst: Sequence[RowView],
    random: Sequence[RowView],
    thumbnails: Thumbnails | None = None,
) -> str:
    """Build the HTML of the report.

    Args:
        title: Name of the data set.
        figures: Statistics of the data set.
        gates: Results of the checks against the recipe's limits.
        worst: Rows to look at first.
        random: Rows drawn at random.
        thumbnails: Source of the images' thumbnails; with None, only size and digest of images are shown.
    """
    return render(
        "report.html.jinja",
        title=title,
        figures=figures,
        gates=gates,
        worst=worst,
        random=random,
        thumbnails=thumbnails,
        splits={split.name: split for split in figures.splits},
        bins_of=bins_of,
        parts_of=parts_of,
        max_sources=MAX_SOURCES,
        max_reasons=MAX_REASONS,
    )


def parts_of(ledger: Mapping[str, object], unit: str) -> list[tuple[str, str, int]]:
    """Return label, CSS class and count of each part of the ledger that adds up to the input.

    Args:
        ledger: The ledger's counts, as returned by `Ledger.flat`.
        unit: `rows` or `tokens`.
    """
    parts = []
    for name, value in ledger.items():
        kind = name.removeprefix(f"{unit}_")
        if name.startswith(f"{unit}_") and kind != "in" and name != "rows_truncated" and isinstance(value, int):
            words, css = WORDS.get(kind, (kind.replace("_", " "), "left"))
            parts.append((words, css, value))
    return parts
