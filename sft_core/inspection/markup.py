"""Helpers for the HTML of the report. All text that comes from data is escaped here."""

import html
from collections.abc import Iterable, Sequence

NUMBER = "num"


def escaped(value: object) -> str:
    """Escape text for HTML, including quotes."""
    return html.escape(str(value), quote=True)


def count(value: float) -> str:
    """Format a number as an integer with thousands separators."""
    return f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """Format a share as a percentage.

    A positive share below 0.1% becomes `<0.1%`, one between 99.9% and 100% becomes `>99.9%`. Without a whole, the
    result is a dash.
    """
    if whole <= 0:
        return "–"
    value = part / whole
    if 0 < value < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < value < 1 else f"{value:.1%}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Build an HTML table.

    Args:
        headers: Names of the columns, as text.
        rows: Cells of each row, one per column, as HTML.
        numbers: Indices of the columns that hold numbers, which are aligned right.
    """
    classes = [f' class="{NUMBER}"' if column in numbers else "" for column in range(len(headers))]
    head = "".join(f"<th{css}>{escaped(name)}</th>" for css, name in zip(classes, headers, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{css}>{cell}</td>' for css, cell in zip(classes, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def tile(name: str, value: str, note: str = "") -> str:
    """Build a tile with one headline number."""
    extra = f'<span class="note">{escaped(note)}</span>' if note else ""
    return f'<div class="tile"><span class="name">{escaped(name)}</span><b>{escaped(value)}</b>{extra}</div>'


def section(anchor: str, title: str, *content: str) -> str:
    """Build a section of the page with a heading."""
    return f'<section id="{anchor}"><h2>{escaped(title)}</h2>{"".join(content)}</section>'


def paragraph(text: str) -> str:
    """Build a paragraph of plain text."""
    return f"<p>{escaped(text)}</p>"
