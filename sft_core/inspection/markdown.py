"""The few pieces of Markdown that pages in Prefect and MLflow are put together from.

Both make pages of it with a filter: inline SVG and `<summary>` do not get through, a picture as a data address does.
"""

import base64
from collections.abc import Iterable, Sequence

FULL = "█"
PARTS = " ▏▎▍▌▋▊▉"


def table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Build a table.

    Args:
        headers: [columns]
        rows: [rows][columns] values, shown as text.
    """
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(f"| {' | '.join(cell(value) for value in line)} |" for line in lines)


def cell(value: object) -> str:
    """Text that stays in its cell."""
    return " ".join(str(value).split()).replace("|", "\\|")


def excerpt(text: object, num_chars: int) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(str(text).split())
    return line if len(line) <= num_chars else f"{line[: num_chars - 1]}…"


def picture(name: str, svg: str) -> str:
    """A drawing, inside the text."""
    return f"![{name}](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"


def bar(value: float, largest: float, num_chars: int = 24) -> str:
    """A bar of text, in steps of an eighth of a character; what is above 0 is seen."""
    eighths = round(8 * num_chars * value / largest) if largest > 0 else 0
    whole, part = divmod(max(eighths, 1) if value > 0 else 0, 8)
    return (FULL * whole + PARTS[part]).strip()


def number(value: float | None) -> str:
    """Four digits; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"
