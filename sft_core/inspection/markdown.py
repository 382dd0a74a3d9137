"""Helpers for the Markdown of pages in Prefect and MLflow.

Both sanitize the Markdown they render: inline SVG and `<summary>` are removed, an image with a data URL is kept.
"""

import base64
from collections.abc import Iterable, Sequence

FULL = "█"
PARTS = " ▏▎▍▌▋▊▉"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Build a Markdown table.

    Args:
        headers: Names of the columns.
        rows: Values of each row, one per column, converted to text.
    """
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines)


def cell(value: object) -> str:
    """Convert a value to text for a table cell: on one line, with `|` escaped."""
    return " ".join(str(value).split()).replace("|", "\\|")


def excerpt(text: object, num_chars: int) -> str:
    """Return the beginning of a text on one line, at most `num_chars` characters."""
    line = " ".join(str(text).split())
    return line if len(line) <= num_chars else f"{line[: num_chars - 1]}…"


def picture(name: str, svg: str) -> str:
    """Return an SVG as an inline image with a data URL."""
    return f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def bar(value: float, largest: float, num_chars: int = 24) -> str:
    """Draw a bar of block characters in steps of an eighth of a character; a value above 0 is always visible."""
    eighths = round(8 * num_chars * value / largest) if largest > 0 else 0
    whole, part = divmod(max(eighths, 1) if value > 0 else 0, 8)
    return (FULL * whole + PARTS[part]).strip()


def number(value: float | None) -> str:
    """Format a number with four significant digits; None becomes a dash."""
    return "–" if value is None else f"{value:.4g}"
