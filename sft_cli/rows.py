"""Rows token by token in a terminal: in colours, or with marks where there are no colours."""

import itertools

from rich.console import Console
from rich.text import Text

from flows.queries.open_data import OpenData
from sft_cli.printing import heading
from sft_core.data.formats import Verdict, describe_verdict
from sft_core.errors import RecipeError
from sft_core.inspection import (
    Gap,
    ImagePiece,
    Piece,
    RowTable,
    RowView,
    figures_of,
    first_rows,
    harmless,
    label,
    named_rows,
    random_rows,
    shortened,
    view_rows,
    worst_rows,
)
from sft_core.pretrained.plain_tokenizer import plain_tokenizer

STYLES = {
    "trained": ("white on #1d4f91", "white on #2f6db8"),
    "context": ("#b8b8b8 on #303030", "#b8b8b8 on #3c3c3c"),
    "cut": ("strike #ffd9a8 on #6b3d0a", "strike #ffd9a8 on #804a0e"),
}
"""Two shades of each kind, so that adjacent tokens can be distinguished."""
MARKS = {"trained": "⟦{}⟧", "context": "{}", "cut": "⟪{}⟫"}
WORST_KINDS = 3


def choose_rows(data: OpenData, name: str | None, num_rows: int, is_worst: bool, seed: int) -> list[RowView]:
    """Choose the rows to show: those with a name `SOURCE:ROW`, the worst, or some at random."""
    table = RowTable.read(data.lineage)
    if name is not None:
        source, row = parse_name("--row", name)
        return _view(data, table, named_rows(data.lineage, table, source, row), {})
    if is_worst:
        why = dict(itertools.islice(worst_rows(table, -(-num_rows // WORST_KINDS)).items(), num_rows))
        return _view(data, table, list(why), why)
    return _view(data, table, random_rows(table, num_rows, seed), {})


def show_rows(console: Console, views: list[RowView]) -> None:
    """Print rows under a legend."""
    console.print(_legend(console))
    for view in views:
        console.print(_header(view))
        _print_tokens(console, view)


def show_sources(console: Console, data: OpenData, verdicts: dict[str, Verdict], rows_each: int) -> None:
    """Print the detected format of each source, and its first rows."""
    table = RowTable.read(data.lineage)
    chosen = first_rows(data.lineage, table, rows_each)
    for source in figures_of(data.lineage, table).sources:
        verdict = describe_verdict(verdicts[source.name], source.rows_rejected)
        console.print(heading(f"\n{source.name}", f"  {verdict}"))
        for view in _view(data, table, chosen[source.name], {}):
            console.print(_header(view))
            _print_tokens(console, view)


def parse_name(option: str, name: str) -> tuple[str, int]:
    """Split `gsm8k:12` into name and number.

    Raises:
        RecipeError: if the text does not end with a colon and a number.
    """
    before, _, number = name.rpartition(":")
    if not before or not number.isdecimal():
        raise RecipeError(f"{option}: expected a name and a number, such as gsm8k:12; found '{name}'")
    return before, int(number)


def _view(data: OpenData, table: RowTable, positions: list[int], why: dict[int, str]) -> list[RowView]:
    if data.tokenizer is None:
        raise RecipeError(
            "a data set has token ids but no tokenizer to decode them; name the recipe, or the folder of a training run"
        )
    return view_rows(data.lineage, table, plain_tokenizer(data.tokenizer), positions, why, data.processor)


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
