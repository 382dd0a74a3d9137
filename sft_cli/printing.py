"""Printing for people: a console that prints every text as it is, and tables that are never cut off."""

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text


def plain_console(**options: Any) -> Console:
    """Return a console that does not wrap lines, and in which brackets and colons of a name have no meaning."""
    return Console(soft_wrap=True, highlight=False, markup=False, emoji=False, **options)


def heading(name: str, rest: str = "", details: str = "") -> Text:
    """Return a line with a name in bold, the rest in normal and the details in faint letters."""
    return Text.assemble((name, "bold"), rest, (details, "dim"))


def print_table(
    console: Console, columns: Sequence[str], rows: Sequence[Sequence[str]], bold_row: int | None = None
) -> None:
    """Print a table at its full width: names and digests can be copied, and piped lines can be searched.

    `rich.table` would cut cells off at the width of the terminal, and pad each line to the width of the longest one.
    """
    lines = [columns, *rows]
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    for number, cells in enumerate(lines, start=-1):
        line = "  ".join(map(set_cell_size, cells, widths)).rstrip()
        console.print(line, style="bold" if number in (-1, bold_row) else None)


def cell(value: Any, form: str = "") -> str:
    """Format a value for a table; `–` stands for one that does not exist."""
    return "–" if value is None else format(value, form)


def size(num_bytes: float) -> str:
    """Format a number of bytes with a unit, in powers of ten: `512 bytes`, `1.5 kB`, `2.0 GB`."""
    return decimal(round(num_bytes))
