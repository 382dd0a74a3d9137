"""Rows token by token in a terminal: in colours, or with marks where there are no colours."""

import itertools
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from sft_cli.printing import heading
from sft_core.inspection import Gap, ImagePiece, Piece, RowView, harmless, label, shortened

STYLES = {
    "trained": ("white on #1d4f91", "white on #2f6db8"),
    "context": ("#b8b8b8 on #303030", "#b8b8b8 on #3c3c3c"),
    "cut": ("strike #ffd9a8 on #6b3d0a", "strike #ffd9a8 on #804a0e"),
}
"""Two shades of each kind, so that adjacent tokens can be distinguished."""
MARKS = {"trained": "⟦{}⟧", "context": "{}", "cut": "⟪{}⟫"}


def show_rows(console: Console, views: Sequence[RowView]) -> None:
    """Print rows under a legend."""
    console.print(_legend(console))
    for view in views:
        console.print(_header(view))
        _print_tokens(console, view)


def show_sources(console: Console, formats: Mapping[str, str], rows: Mapping[str, Sequence[RowView]]) -> None:
    """Print the detected format of each source, and its first rows."""
    for source, verdict in formats.items():
        console.print(heading(f"\n{source}", f"  {verdict}"))
        for view in rows[source]:
            console.print(_header(view))
            _print_tokens(console, view)


def _header(view: RowView) -> Text:
    where = f"row {view.row:,}" + (f", line {view.line:,}" if view.line is not None else "")
    counts = f"{view.num_tokens:,} tokens, {view.num_trained:,} trained"
    lost = f", {view.num_cut:,} cut off" if view.num_cut else ""
    split = "trained" if view.split == "train" else "held out"
    header = heading(f"\n{view.source}", f" {where} ({split}): {counts}{lost}")
    if view.why:
        header.append(f"  {view.why}", style="yellow")
    return header.append(f"  {view.file}", style="dim")


def _has_colours(console: Console) -> bool:
    return console.is_terminal and not console.no_color and console.color_system is not None


def _legend(console: Console) -> Text:
    if not _has_colours(console):
        return Text("⟦trained⟧ context ⟪cut off⟫")
    legend = Text()
    for kind, meaning in (("trained", "trained"), ("context", "context"), ("cut", "cut off")):
        legend.append(f" {meaning} ", style=STYLES[kind][0]).append("  ")
    return legend.append("special tokens are underlined; · space, ↵ line break, ‹ the rest of a character", style="dim")


def _print_tokens(console: Console, view: RowView) -> None:
    text = _coloured(view) if _has_colours(console) else Text(_marked(view))
    for line in text.split("\n"):
        console.print(Text("  │ ").append_text(line))


def _coloured(view: RowView) -> Text:
    text = Text()
    for number, item in enumerate(shortened(view.pieces)):
        if isinstance(item, Gap):
            text.append(f" … {item.num_tokens:,} more … ", style="dim")
            continue
        style = STYLES[item.kind][number % 2]
        is_special = not isinstance(item, ImagePiece) and item.is_special
        text.append(label(item), style=f"{style} underline" if is_special else style)
        if isinstance(item, ImagePiece):
            continue
        if item.text.endswith("\n") and item.part == item.parts:
            text.append("\n")
    return text


def _marked(view: RowView) -> str:
    """Return the text with marks around everything that is not context."""
    runs = itertools.groupby(shortened(view.pieces), key=lambda item: None if isinstance(item, Gap) else item.kind)
    parts = []
    for kind, run in runs:
        if kind is None:
            parts += [f" … {item.num_tokens:,} more … " for item in run if isinstance(item, Gap)]
        else:
            parts.append(MARKS[kind].format("".join(_spelled(item) for item in run if not isinstance(item, Gap))))
    return "".join(parts)


def _spelled(piece: Piece) -> str:
    if isinstance(piece, ImagePiece):
        return label(piece)
    return harmless(piece.text) if piece.part == 1 else ""
