"""Gates stop data that is not fit to train on."""

import pytest

from sft_core.errors import DataError, GateError
from sft_core.gates import GatesConfig, check_gates
from sft_core.ledger import Ledger, Rejection

REJECTIONS = [
    Rejection(source="train", row=row, line=row + 1, stage="s", reason="`text` is empty", excerpt="")
    for row in (4, 7, 8, 9)
]


def ledger(train: int = 0, held_out: int = 0, rejected: int = 0, **tokens: int) -> Ledger:
    reasons = {"`text` is empty": rejected} if rejected else {}
    rows = {
        "rows_in": train + held_out + rejected,
        "rows_train": train,
        "rows_eval": held_out,
        "rows_rejected": rejected,
    }
    return Ledger(**rows, rejected_by_reason=reasons, **tokens)


def test_clean_data_passes() -> None:
    check_gates(GatesConfig(), ledger(train=10), [])


def test_no_trainable_row_is_an_error_that_says_where_the_rows_went() -> None:
    with pytest.raises(
        DataError, match=r"no trainable row is left of 5: 1 held out, 4 rejected \(4 × `text` is empty\)"
    ):
        check_gates(GatesConfig(max_rejected_fraction=1.0), ledger(held_out=1, rejected=4), REJECTIONS)


def test_too_many_rejected_rows_stop_the_run_and_name_the_first_ones() -> None:
    share = r"40\.0% of 10 rows are rejected, at most 30\.0% .*"
    rows = r"for example train row 4 \(line 5\), train row 7 \(line 8\), train row 8 \(line 9\)$"
    with pytest.raises(GateError, match=share + rows):
        check_gates(GatesConfig(max_rejected_fraction=0.3), ledger(train=6, rejected=4), REJECTIONS)


def test_a_share_exactly_at_the_limit_passes() -> None:
    check_gates(GatesConfig(max_rejected_fraction=0.4), ledger(train=6, rejected=4), REJECTIONS)


def test_a_limit_of_zero_lets_no_rejection_through() -> None:
    with pytest.raises(GateError):
        check_gates(GatesConfig(max_rejected_fraction=0.0), ledger(train=9999, rejected=1), REJECTIONS)


def test_too_much_truncation_stops_the_run() -> None:
    cut = ledger(train=2, tokens_in=10, tokens_train=7, tokens_truncated=3)
    with pytest.raises(
        GateError,
        match=r"max_truncated_fraction: 30\.0% of 10 tokens are cut off by tokens\.max_length, at most 20\.0%",
    ):
        check_gates(GatesConfig(max_truncated_fraction=0.2), cut, [])
    check_gates(GatesConfig(max_truncated_fraction=0.3), cut, [])
    check_gates(GatesConfig(), cut, [])
