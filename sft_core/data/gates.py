"""Limits that data must keep before a GPU is touched, measured on every row.

Each gate compares one share with one limit of the recipe. All are measured and reported, whatever they say; the flow
stops at the first that is crossed, and names the rows that crossed it.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from sft_core.data.audit import WORST_ROWS, Audit, Finding
from sft_core.data.gate_result import GateResult
from sft_core.errors import DataError, GateError
from sft_core.section import Section
from sft_core.store.ledger import Ledger, Rejection

_TEACH_TO_STOP = "set tokens.keep_end_token, raise tokens.max_length, or use a template that ends its turns"
_NO_LEAK = "take them out of one side"


class GatesConfig(Section):
    """The largest shares that are let through; beyond one, the flow stops before training."""

    max_rejected_fraction: float = Field(default=0.5, ge=0.0, le=1.0)
    """Rows rejected, of the rows that the recipe did not leave out. Half of the data being unusable is a mistake in the
    recipe, not noise."""
    max_masked_fraction: float = Field(default=0.1, ge=0.0, le=1.0)
    """Rows rejected because no token of theirs is a target, of rows in: the sign of a mask that fits another template,
    or of a `max_length` shorter than the prompts."""
    max_truncated_fraction: float = Field(default=0.5, ge=0.0, le=1.0)
    """Tokens cut off by `tokens.max_length`, of tokens in."""
    max_unstopped_fraction: float = Field(default=0.5, ge=0.0, le=1.0)
    """Rows whose last target is no token that ends a turn or a text, of rows kept: such rows teach a model never to
    stop."""
    max_doubled_bos_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Rows that begin with two beginning tokens, of rows kept: no prompt begins so when the model is used."""
    max_overlap_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Rows trained on whose prompt is held out as well, of rows trained on: scores on such prompts mean nothing."""
    allow_other_template: bool = True
    """Whether the chat template may be another than the one that lies with the model. It is saved with the trained
    model either way."""


def measure_gates(gates: GatesConfig, audit: Audit, has_other_template: bool = False) -> list[GateResult]:
    """Measure every gate.

    Args:
        gates: The limits.
        audit: What was counted over all rows.
        has_other_template: Whether the template in use is another than the model's own.
    """
    ledger, kept = audit.ledger, audit.ledger.rows_train + audit.ledger.rows_eval
    rows_asked = ledger.rows_in - ledger.rows_left_out
    rejected = "rows are rejected" + (f" ({_reasons(ledger)})" if ledger.rows_rejected else "")
    measured: list[tuple[str, Finding, int, str, str]] = [
        ("max_rejected_fraction", audit.rejected, rows_asked, rejected, "mend them"),
        ("max_masked_fraction", audit.masked, rows_asked, "rows have no target of the loss", "see `sft show`"),
        ("max_truncated_fraction", audit.truncated, ledger.tokens_in, "tokens are cut off", "raise tokens.max_length"),
        ("max_unstopped_fraction", audit.unstopped, kept, "rows do not end with a token that stops", _TEACH_TO_STOP),
        ("max_doubled_bos_fraction", audit.doubled_bos, kept, "rows have two beginning tokens", "take one out"),
        ("max_overlap_fraction", audit.overlapping, ledger.rows_train, "trained prompts are held out too", _NO_LEAK),
    ]
    results = [
        GateResult(
            name=name,
            value=found.count / max(total, 1),
            limit=getattr(gates, name),
            what=f"{total:,} {what}",
            remedy=remedy,
            worst=found.worst,
        )
        for name, found, total, what, remedy in measured
    ]
    return [*results, _template_gate(gates, has_other_template)]


def check_gates(results: Sequence[GateResult], report: Path | None = None) -> None:
    """Stop if a limit is crossed.

    Raises:
        GateError: with the share, the limit, the worst rows, and the report page to look at.
    """
    for result in results:
        if not result.is_passed:
            raise GateError(result.message + (f"\nthe data report shows more: {report}" if report else ""))


def check_rows_left(split: Literal["train", "eval"], ledger: Ledger, rejections: Iterable[Rejection]) -> None:
    """Stop if no row is left in the split that all is done for.

    Raises:
        DataError: with the reasons of the rejections.
    """
    if (ledger.rows_train if split == "train" else ledger.rows_eval) == 0:
        what, other, rows = ("trainable", "held out", ledger.rows_eval)
        if split == "eval":
            what, other, rows = ("held-out", "to be trained on", ledger.rows_train)
        others = f"{rows} {other}, " if rows else ""
        left_out = f"{ledger.rows_left_out} left out by the recipe itself (`fraction`, `max_rows`, `transform`), "
        raise DataError(
            f"no {what} row is left of {ledger.rows_in}: {others}{left_out if ledger.rows_left_out else ''}"
            f"{ledger.rows_rejected} rejected "
            f"({_reasons(ledger)}){_examples(rejections)}"
        )


def check_source(source: str, ledger: Ledger, rejections: Iterable[Rejection]) -> None:
    """Stop at a source of which no row is usable, before anything is done with the others.

    Raises:
        DataError: with the reasons and how many rows each has.
    """
    if ledger.rows_in and ledger.rows_left_out == ledger.rows_in:
        raise DataError(
            f"source '{source}': none of its {ledger.rows_in:,} rows takes part, `fraction` or `transform` leaves out "
            "all; change them, or take the source out of the recipe"
        )
    if ledger.rows_rejected and ledger.rows_rejected == ledger.rows_in - ledger.rows_left_out:
        raise DataError(
            f"source '{source}': no usable row of {ledger.rows_rejected}, all are rejected "
            f"({_reasons(ledger)}){_examples(rejections)}"
        )


def _template_gate(gates: GatesConfig, has_other_template: bool) -> GateResult:
    return GateResult(
        name="allow_other_template",
        value=float(has_other_template),
        limit=float(gates.allow_other_template),
        what="chat templates differ from the one that lies with the model",
        remedy="leave chat.chat_template_path out",
    )


def _reasons(ledger: Ledger) -> str:
    counted = sorted(ledger.rejected_by_reason.items(), key=lambda item: -item[1])
    return "; ".join(f"{count:,} × {reason}" for reason, count in counted) or "none"


def _examples(rejections: Iterable[Rejection]) -> str:
    shown = [rejection.place for rejection in itertools.islice(rejections, WORST_ROWS)]
    return f"; for example {', '.join(shown)}" if shown else ""
