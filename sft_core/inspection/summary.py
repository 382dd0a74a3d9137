"""The data report as one page of Markdown, for Prefect and MLflow: kept rows, rejected rows and reasons, lengths."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sft_core.data.gates import GateResult
from sft_core.inspection.charts import round_up
from sft_core.inspection.figures import Figures, SplitFigures
from sft_core.inspection.markdown import bar, excerpt, table
from sft_core.inspection.markup import share

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
    parts = [
        _rows(figures),
        _sources(figures),
        table(["split", "rows", "tokens", "blocks", "filled"], [_split(one, figures) for one in figures.splits]),
        *_rejections(figures),
        *_lengths(figures.whole_lengths, figures.max_length),
        *_gates(gates),
    ]
    return "\n\n".join(parts) + "\n"


def _rows(figures: Figures) -> str:
    ledger = figures.ledger
    account = " + ".join(
        f"{ledger.get(f'rows_{name}', 0):,} {name.replace('_', ' ')}"
        for name in ("trained", "held_out", "rejected", "left_out")
    )
    targets = share(figures.targets, figures.kept_tokens)
    return (
        f"**{ledger.get('rows_in', 0):,} rows in** = {account}. {targets} of the tokens kept are targets of the loss."
    )


def _sources(figures: Figures) -> str:
    rows = [
        [one.name, f"{one.rows_in:,}", f"{one.rows_train:,}", f"{one.rows_eval:,}", f"{one.rows_rejected:,}"]
        for one in figures.sources[:MAX_SOURCES]
    ]
    more = len(figures.sources) - MAX_SOURCES
    shown = table(["source", "rows in", "trained", "held out", "rejected"], rows)
    return shown + (f"\n\n… and {more:,} more sources." if more > 0 else "")


def _split(split: SplitFigures, figures: Figures) -> list[str]:
    filled = f"{split.fill(figures.max_length):.1%}" if figures.max_length else "–"
    return [split.name, f"{split.rows:,}", f"{split.tokens:,}", f"{len(split.tokens_per_block):,}", filled]


def _rejections(figures: Figures) -> list[str]:
    if not figures.reasons:
        return ["No row was rejected."]
    rows = [[f"{one.rows:,}", one.stage, excerpt(one.reason, REASON_CHARS)] for one in figures.reasons[:MAX_REASONS]]
    more = len(figures.reasons) - MAX_REASONS
    shown = table(["rows rejected", "by", "because"], rows)
    return [shown + (f"\n\n… and {more:,} more reasons; `rejected.jsonl` has every row." if more > 0 else "")]


def _lengths(lengths: npt.NDArray[np.int64], limit: int | None) -> list[str]:
    if not len(lengths):
        return []
    step = max(1, round(round_up(int(lengths.max()) / LENGTH_BARS)))
    steps = (lengths - 1).clip(0) // step
    counts, shortest = np.bincount(steps), int(steps.min())
    rows = [
        [f"{number * step + 1:,} to {(number + 1) * step:,}", f"{rows:,}", bar(rows, int(counts.max()))]
        for number, rows in enumerate(counts.tolist()[shortest:], start=shortest)
    ]
    cut = (
        ""
        if limit is None
        else f" At most {limit:,} are kept: {share(int((lengths > limit).sum()), len(lengths))} of the rows are longer."
    )
    words = f"half have at most {np.median(lengths):,.0f}, the longest {lengths.max():,}"
    return [f"Tokens a row before it is cut: {words}.{cut}", table(["tokens", "rows", ""], rows)]


def _gates(gates: Sequence[GateResult]) -> list[str]:
    rows = [
        [gate.name, f"{gate.value:.2%}", f"{gate.limit:.2%}", "passed" if gate.is_passed else "**crossed**"]
        for gate in gates
    ]
    return [table(["gate", "found", "limit", ""], rows)] if rows else []
