"""The few pieces of HTML that the report is put together from. Whatever comes from data is escaped here."""

import html
from collections.abc import Iterable, Sequence

NUMBER = "num"


def escaped(value: object) -> str:
    """Text that means nothing to a browser."""
    return html.escape(str(value), quote=True)


def count(value: float) -> str:
    """A whole number with its thousands told apart."""
    return f"{value:,.0f}"


def share(part: float, whole: float) -> str:
    """A percentage; a share that is small is not shown as none, nor an almost whole one as all."""
    if whole <= 0:
        return "–"
    value = part / whole
    if 0 < value < 0.001:
        return "<0.1%"
    return ">99.9%" if 0.999 < value < 1 else f"{value:.1%}"


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Build a table.

    Args:
        headers: [columns] text.
        rows: [rows][columns] HTML.
        numbers: Columns that hold numbers, which are aligned by their last digit.
    """
    classes = [f' class="{NUMBER}"' if column in numbers else "" for column in range(len(headers))]
    head = "".join(f"<th{css}>{escaped(name)}</th>" for css, name in zip(classes, headers, strict=True))
    body = "".join(
        f"<tr>{''.join(f'<td{css}>{cell}</td>' for css, cell in zip(classes, row, strict=True))}</tr>" for row in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def tile(name: str, value: str, note: str = "") -> str:
    """One number that matters."""
    extra = f'<span class="note">{escaped(note)}</span>' if note else ""
    return f'<div class="tile"><span class="name">{escaped(name)}</span><b>{escaped(value)}</b>{extra}</div>'


def section(anchor: str, title: str, *content: str) -> str:
    """A part of the page."""
    return f'<section id="{anchor}"><h2>{escaped(title)}</h2>{"".join(content)}</section>'


def paragraph(text: str) -> str:
    """Plain words."""
    return f"<p>{escaped(text)}</p>"
