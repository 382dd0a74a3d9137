"""Limits that data must meet before a GPU is used, measured on every row.

Each gate compares one share with one limit of the recipe. All gates are measured and reported, whatever their results.
The flow stops at the first limit that is exceeded, and its error names example rows.
"""

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from pydantic import Field

from sft_core.data.audit import WORST_ROWS, Audit, Finding
from sft_core.errors import DataError, GateError
from sft_core.section import Section
from sft_core.store.ledger import Ledger, Rejection

_TEACH_TO_STOP = "set tokens.keep_end_token, raise tokens.max_length, or use a template that ends its turns"
_NO_LEAK = "remove them from one of the splits"


class GateResult(Section):
    """Limit of one gate, and the value that was measured."""

    name: str
    """Name of the recipe field, for example `max_rejected_fraction`."""
    value: float
    limit: float
    what: str
    """End of the sentence "`value` of …", for example `2,880 rows are rejected`."""
    remedy: str = ""
    worst: tuple[str, ...] = ()
    """Examples of the rows concerned, as `source row N (file line M)`."""

    @property
    def is_passed(self) -> bool:
        """True if `value` does not exceed `limit`."""
        return self.value <= self.limit

    @property
    def message(self) -> str:
        """Sentence with the share, the limit, example rows, and the change that helps."""
        rows = f"; for example {', '.join(self.worst)}" if self.worst else ""
        return (
            f"gates.{self.name}: {self.value:.1%} of {self.what}, at most {self.limit:.1%} are allowed{rows}; "
            f"{self.remedy}, or raise the gate"
        )


class GatesConfig(Section):
    """Largest shares that are accepted; if one is exceeded, the flow stops before training."""

    max_rejected_fraction: float = Field(default=0.5, ge=0.0, le=1.0)
    """Largest accepted share of rejected rows, among the rows that the recipe itself does not skip. If half of the data
    is unusable, the recipe is wrong; that is not noise."""
    max_masked_fraction: float = Field(default=0.1, ge=0.0, le=1.0)
    """Largest accepted share of rows that are rejected because none of their tokens is a target, among all rows read. A
    high share is a sign of a mask that fits another chat template, or of a `max_length` shorter than the prompts."""
    max_truncated_fraction: float = Field(default=0.5, ge=0.0, le=1.0)
    """Largest accepted share of tokens that are cut off by `tokens.max_length`, among all tokens read."""
    max_unstopped_fraction: float = Field(default=0.5, ge=0.0, le=1.0)
    """Largest accepted share of rows whose last target is not a token that ends a turn or a text, among the rows kept.
    Such rows teach a model never to stop."""
    max_doubled_bos_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Largest accepted share of rows that begin with two beginning-of-sequence (BOS) tokens, among the rows kept. No
    prompt begins with two of them at inference."""
    max_overlap_fraction: float = Field(default=0.0, ge=0.0, le=1.0)
    """Largest accepted share of rows whose prompt is also held out, among the rows trained on. Scores on such prompts
    mean nothing."""
    allow_other_template: bool = True
    """Allow a chat template that differs from the one stored with the model. The template in use is saved with the
    trained model either way."""


def measure_gates(gates: GatesConfig, audit: Audit, has_other_template: bool = False) -> list[GateResult]:
    """Measure every gate and return one result for each.

    Args:
        gates: The limits.
        audit: The counts over all rows.
        has_other_template: True if the chat template in use differs from the model's own.
    """
    ledger, kept = audit.ledger, audit.ledger.rows_train + audit.ledger.rows_eval
    rows_asked = ledger.rows_in - ledger.rows_left_out
    rejected = "rows are rejected" + (f" ({_reasons(ledger)})" if ledger.rows_rejected else "")
    measured: list[tuple[str, Finding, int, str, str]] = [
        ("max_rejected_fraction", audit.rejected, rows_asked, rejected, "fix them"),
        ("max_masked_fraction", audit.masked, rows_asked, "rows have no target of the loss", "see `sft show`"),
        ("max_truncated_fraction", audit.truncated, ledger.tokens_in, "tokens are cut off", "raise tokens.max_length"),
        ("max_unstopped_fraction", audit.unstopped, kept, "rows do not end with a token that stops", _TEACH_TO_STOP),
        ("max_doubled_bos_fraction", audit.doubled_bos, kept, "rows have two beginning tokens", "remove one"),
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
    """Check that no limit is exceeded.

    Raises:
        GateError: for the first limit that is; the message has the share, the limit, the worst rows, and the path of
            the report page.
    """
    for result in results:
        if not result.is_passed:
            raise GateError(result.message + (f"\nthe data report shows more: {report}" if report else ""))


def check_rows_left(split: Literal["train", "eval"], ledger: Ledger, rejections: Iterable[Rejection]) -> None:
    """Check that the split that the run needs has a row left.

    Raises:
        DataError: if it has none; the message lists the reasons of the rejections.
    """
    if (ledger.rows_train if split == "train" else ledger.rows_eval) == 0:
        what, other, rows = ("trainable", "held out", ledger.rows_eval)
        if split == "eval":
            what, other, rows = ("held-out", "to be trained on", ledger.rows_train)
        others = f"{rows} {other}, " if rows else ""
        left_out = f"{ledger.rows_left_out} skipped by the recipe itself (`fraction`, `max_rows`, `transform`), "
        raise DataError(
            f"no {what} row is left of {ledger.rows_in}: {others}{left_out if ledger.rows_left_out else ''}"
            f"{ledger.rows_rejected} rejected "
            f"({_reasons(ledger)}){_examples(rejections)}"
        )


def check_source(source: str, ledger: Ledger, rejections: Iterable[Rejection]) -> None:
    """Check that a source has a usable row, before the other sources are processed further.

    Raises:
        DataError: if it has none; the message lists the reasons and how many rows each has.
    """
    if ledger.rows_in and ledger.rows_left_out == ledger.rows_in:
        raise DataError(
            f"source '{source}': none of its {ledger.rows_in:,} rows is used, `fraction` or `transform` skips all of "
            "them; change them, or remove the source from the recipe"
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
        what="chat templates differ from the one stored with the model",
        remedy="remove chat.chat_template_path",
    )


def _reasons(ledger: Ledger) -> str:
    counted = sorted(ledger.rejected_by_reason.items(), key=lambda item: -item[1])
    return "; ".join(f"{count:,} × {reason}" for reason, count in counted) or "none"


def _examples(rejections: Iterable[Rejection]) -> str:
    shown = [rejection.place for rejection in itertools.islice(rejections, WORST_ROWS)]
    return f"; for example {', '.join(shown)}" if shown else ""
