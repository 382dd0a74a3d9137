"""Limits that data must keep before a GPU is touched."""

from pydantic import Field

from sft_core.errors import DataError, GateError
from sft_core.ledger import Ledger, Rejection
from sft_core.section import Section

WORST_ROWS = 3


class GatesConfig(Section):
    """The largest shares that are let through; beyond one, the flow stops before training."""

    max_rejected_fraction: float = Field(default=0.5, ge=0.0, le=1.0)
    """Rows rejected, of rows in."""
    max_truncated_fraction: float = Field(default=1.0, ge=0.0, le=1.0)
    """Tokens cut off, of tokens in."""


def check_gates(gates: GatesConfig, ledger: Ledger, rejections: list[Rejection]) -> None:
    """Stop if the data is not fit to train on.

    Raises:
        DataError: if no row is left to train on.
        GateError: if a limit is crossed; the message has the share, the limit and the first rows concerned.
    """
    if ledger.rows_train == 0:
        held_out = f"{ledger.rows_eval} held out, " if ledger.rows_eval else ""
        raise DataError(
            f"no trainable row is left of {ledger.rows_in}: {held_out}{ledger.rows_rejected} rejected "
            f"({_reasons(ledger)}){_examples(rejections)}"
        )
    rejected = ledger.rows_rejected / ledger.rows_in
    if rejected > gates.max_rejected_fraction:
        raise GateError(
            f"gates.max_rejected_fraction: {rejected:.1%} of {ledger.rows_in} rows are rejected, at most "
            f"{gates.max_rejected_fraction:.1%} are allowed ({_reasons(ledger)}){_examples(rejections)}"
        )
    truncated = ledger.tokens_truncated / max(ledger.tokens_in, 1)
    if truncated > gates.max_truncated_fraction:
        raise GateError(
            f"gates.max_truncated_fraction: {truncated:.1%} of {ledger.tokens_in} tokens are cut off by "
            f"tokens.max_length, at most {gates.max_truncated_fraction:.1%} are allowed; raise tokens.max_length or "
            "the gate"
        )


def _reasons(ledger: Ledger) -> str:
    counted = sorted(ledger.rejected_by_reason.items(), key=lambda item: -item[1])
    return "; ".join(f"{count} × {reason}" for reason, count in counted) or "none"


def _examples(rejections: list[Rejection]) -> str:
    shown = [f"{r.source} row {r.row}" + (f" (line {r.line})" if r.line else "") for r in rejections[:WORST_ROWS]]
    return f"; for example {', '.join(shown)}" if shown else ""
