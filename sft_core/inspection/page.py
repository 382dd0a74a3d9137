"""The data report as one self-contained HTML page."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sft_core.data.gates import GateResult
from sft_core.inspection.charts import bars, bins_of, stacked
from sft_core.inspection.chips import LEGEND, row_card
from sft_core.inspection.figures import Figures, ReasonFigures, Rejected, SourceFigures, SplitFigures
from sft_core.inspection.markup import count, escaped, paragraph, section, share, table, tile
from sft_core.inspection.rows import RowView
from sft_core.inspection.style import STYLE
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
    sections = [
        ("sources", "Sources", _sources(figures)),
        ("ledger", "Where every row and token went", _ledger(figures)),
        ("lengths", "Lengths", _lengths(figures)),
        ("packing", "Blocks", _blocks(figures)),
        ("gates", "Gates", _gates(gates)),
        ("worst", "Rows to look at first", LEGEND + _cards(worst, thumbnails)),
        ("random", "Rows drawn at random", LEGEND + _cards(random, thumbnails)),
    ]
    links = "".join(f'<a href="#{anchor}">{escaped(name)}</a>' for anchor, name, _ in sections)
    digests = " · ".join(f"{split.name} {split.digest}" for split in figures.splits)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escaped(title)}: data report</title><style>{STYLE}</style></head><body><main>"
        f'<h1>{escaped(title)}</h1><div class="sub">data report · {escaped(digests)}</div><nav>{links}</nav>'
        f'<div class="tiles">{_tiles(figures, gates)}</div>'
        f"{''.join(section(anchor, name, content) for anchor, name, content in sections)}</main></body></html>\n"
    )


def _tiles(figures: Figures, gates: Sequence[GateResult]) -> str:
    rows = {split.name: split.rows for split in figures.splits}
    tokens = {split.name: split.tokens for split in figures.splits}
    num_rows = len(figures.whole_lengths)
    failed = [gate.name for gate in gates if not gate.is_passed]
    tiles = [
        tile("rows to train on", count(rows.get("train", 0)), f"{count(rows.get('eval', 0))} held out"),
        tile("tokens to train on", count(tokens.get("train", 0)), f"{count(tokens.get('eval', 0))} held out"),
        tile("targets of the loss", share(figures.targets, figures.kept_tokens), "of all tokens kept"),
        tile("rows cut short", share(figures.rows_truncated, num_rows), f"{count(figures.rows_truncated)} rows"),
    ]
    train = figures.splits[0]
    if figures.max_length:
        num_blocks = f"{count(len(train.tokens_per_block))} blocks"
        tiles.append(tile("blocks filled", f"{train.fill(figures.max_length):.1%}", num_blocks))
    if gates:
        tiles.append(tile("gates", "passed" if not failed else f"{len(failed)} failed", ", ".join(failed)))
    return "".join(tiles)


def _sources(figures: Figures) -> str:
    headers = ["source", "rows in", "trained", "held out", "rejected", "left out", "tokens", "targets", "formats"]
    rows = [_source_row(source) for source in figures.sources[:MAX_SOURCES]]
    more = len(figures.sources) - MAX_SOURCES
    return table(headers, rows, range(1, 8)) + (paragraph(f"… and {more} more sources") if more > 0 else "")


def _source_row(source: SourceFigures) -> list[str]:
    shown = "<br>".join(escaped(file) for file in source.files[:3])
    more = f"<br>… {len(source.files) - 3} more files" if len(source.files) > 3 else ""
    formats = "<br>".join(f"{escaped(name)} {count(rows)}" for name, rows in source.formats.items())
    numbers = (source.rows_in, source.rows_train, source.rows_eval, source.rows_rejected, source.rows_left_out)
    return [
        f'<b>{escaped(source.name)}</b><div class="file">{shown}{more}</div>',
        *(count(number) for number in numbers),
        count(source.tokens),
        count(source.targets),
        formats,
    ]


def _ledger(figures: Figures) -> str:
    accounts = [
        f"<h3>{count(figures.ledger.get(f'{unit}_in', 0))} {unit} in</h3>{stacked(_parts(figures.ledger, unit))}"
        for unit in ("rows", "tokens")
    ]
    reasons = "".join(_reason(reason) for reason in figures.reasons[:MAX_REASONS])
    rest = figures.reasons[MAX_REASONS:]
    if rest:
        rows = sum(reason.rows for reason in rest)
        reasons += paragraph(f"… and {count(rows)} more rows, for {len(rest)} other reasons; rejected.jsonl has all")
    title = "<h3>Why rows were rejected</h3>" if reasons else paragraph("No row was rejected.")
    return "".join(accounts) + title + reasons


def _parts(ledger: dict[str, object], unit: str) -> list[tuple[str, str, int]]:
    """Return label, CSS class and count of each part of the ledger that adds up to the input."""
    parts = []
    for name, value in ledger.items():
        kind = name.removeprefix(f"{unit}_")
        if name.startswith(f"{unit}_") and kind != "in" and name != "rows_truncated" and isinstance(value, int):
            words, css = WORDS.get(kind, (kind.replace("_", " "), "left"))
            parts.append((words, css, value))
    return parts


def _reason(reason: ReasonFigures) -> str:
    examples = "".join(_example(rejected) for rejected in reason.examples)
    return (
        f"<details><summary><b>{count(reason.rows)}</b> × {escaped(reason.reason)} "
        f'<span class="note">({escaped(reason.stage)})</span></summary>{examples}</details>'
    )


def _example(rejected: Rejected) -> str:
    line = f", line {count(rejected['line'])}" if rejected.get("line") is not None else ""
    file = f' <span class="file">{escaped(rejected["file"])}</span>' if rejected.get("file") else ""
    return (
        f'<div class="counts">{escaped(rejected["source"])}, row {count(rejected["row"])}{line}{file}</div>'
        f'<div class="excerpt">{escaped(rejected["excerpt"])}</div>'
    )


def _lengths(figures: Figures) -> str:
    lengths = figures.whole_lengths
    if not len(lengths):
        return paragraph("No row is left.")
    limit = figures.max_length
    median, long, longest = np.quantile(lengths, [0.5, 0.95, 1.0])
    words = (
        f"Half of the rows have at most {count(median)} tokens, 95% at most {count(long)}; the longest has "
        f"{count(longest)}."
    )
    cut = "Rows have no length limit."
    if limit:
        cut = (
            f"max_length {count(limit)} cuts {count(figures.rows_truncated)} rows "
            f"({share(figures.rows_truncated, len(lengths))})."
        )
    targets = (
        f"{count(figures.targets)} of {count(figures.kept_tokens)} tokens kept are targets of the loss "
        f"({share(figures.targets, figures.kept_tokens)}); the others are context."
    )
    return paragraph(f"Tokens per row before truncation. {words} {cut} {targets}") + _chart(lengths, limit, "rows")


def _blocks(figures: Figures) -> str:
    limit = figures.max_length
    rows = [_split_row(split, limit) for split in figures.splits]
    headers = ["split", "rows", "tokens", "blocks", "rows per block", "tokens per block", "filled"]
    charts = "".join(
        f"<div><h3>{escaped(split.name)}: tokens per block</h3>{_chart(split.tokens_per_block, limit, 'blocks')}</div>"
        for split in figures.splits
        if split.rows_per_block.max(initial=1) > 1
    )
    below = paragraph("Nothing is packed: every row is a block of its own, padded to the longest of its batch.")
    return table(headers, rows, range(1, 7)) + (f'<div class="two">{charts}</div>' if charts else below)


def _chart(tokens: npt.NDArray[np.int64], limit: int | None, what: str) -> str:
    return bars(bins_of(tokens, limit), what, limit, f"max_length {limit:,}" if limit else "")


def _split_row(split: SplitFigures, limit: int | None) -> list[str]:
    return [
        f"<b>{escaped(split.name)}</b>",
        count(split.rows),
        count(split.tokens),
        count(len(split.tokens_per_block)),
        f"{split.rows_per_block.mean():.1f}",
        count(split.tokens_per_block.mean()),
        f"{split.fill(limit):.1%}" if limit else "–",
    ]


def _gates(gates: Sequence[GateResult]) -> str:
    if not gates:
        return paragraph("The recipe sets no limits that were reported.")
    rows = [
        [
            f'<code>{escaped(gate.name)}</code><div class="note">of {escaped(gate.what)}</div>',
            f"{gate.value:.2%}",
            f"{gate.limit:.0%}",
            '<span class="pass">✓ passed</span>' if gate.is_passed else '<span class="fail">✗ failed</span>',
        ]
        for gate in gates
    ]
    return table(["gate", "found", "limit", "verdict"], rows, (1, 2))


def _cards(views: Sequence[RowView], thumbnails: Thumbnails | None) -> str:
    return "".join(row_card(view, thumbnails) for view in views) or paragraph("No row is left.")
