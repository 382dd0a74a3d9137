"""The ledger: rows in = trained + held out + rejected, tokens likewise."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from sft_core.store.ledger import EXCERPT_CHARS, Ledger, Rejection, count_reasons, read_rejections, write_rejections


def rejection(row: int, reason: str = "`text` is empty", excerpt: str = "{}") -> Rejection:
    return Rejection(source="train", row=row, line=row + 1, stage="detect_formats", reason=reason, excerpt=excerpt)


@pytest.mark.parametrize(
    ("counts", "complaint"),
    [
        ({"rows_in": 3, "rows_train": 2}, "3 rows in, 2 accounted for"),
        ({"rows_in": 1, "rows_train": 1, "rows_eval": 1}, "1 rows in, 2 accounted for"),
        ({"rows_in": 3, "rows_train": 1, "rows_left_out": 1}, "3 rows in, 2 accounted for"),
        ({"rows_in": 1, "rows_rejected": 1}, "rejections without a reason"),
        ({"tokens_in": 9, "tokens_train": 5, "tokens_truncated": 3}, "9 tokens in, 8 accounted for"),
    ],
)
def test_a_ledger_whose_sums_do_not_hold_cannot_be_made(counts: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Ledger(**counts)


def test_the_total_adds_up_rows_tokens_and_reasons() -> None:
    one = Ledger(rows_in=3, rows_train=2, rows_rejected=1, rejected_by_reason={"a": 1}, tokens_in=9, tokens_train=9)
    other = Ledger(
        rows_in=3, rows_eval=1, rows_rejected=2, rejected_by_reason={"a": 1, "b": 1}, tokens_in=4, tokens_eval=4
    )
    total = Ledger.total([one, other])
    assert (total.rows_in, total.rows_train, total.rows_eval, total.rows_rejected) == (6, 2, 1, 3)
    assert (total.rejected_by_reason, total.tokens_in) == ({"a": 2, "b": 1}, 13)


def test_the_total_of_nothing_is_empty() -> None:
    assert Ledger.total([]) == Ledger()


def test_rejecting_moves_rows_out_of_their_splits() -> None:
    before = Ledger(rows_in=5, rows_train=3, rows_eval=1, rows_rejected=1, rejected_by_reason={"a": 1})
    after = before.rejecting(["train", "eval", "train"], {"a": 1, "b": 2})
    assert after == Ledger(rows_in=5, rows_train=1, rows_rejected=4, rejected_by_reason={"a": 2, "b": 2})


def test_rejecting_takes_token_counts_once_they_are_known() -> None:
    tokens = {"tokens_in": 10, "tokens_train": 8, "tokens_truncated": 2, "rows_truncated": 1, "targets_train": 4}
    after = Ledger(rows_in=2, rows_train=2).rejecting([], {}, tokens)
    assert (after.tokens_in, after.tokens_truncated, after.targets_train, after.rows_train) == (10, 2, 4, 2)


def test_rejecting_more_rows_than_reasons_is_refused() -> None:
    with pytest.raises(ValidationError, match="rejections without a reason"):
        Ledger(rows_in=2, rows_train=2).rejecting(["train", "train"], {"a": 1})


def test_flat_speaks_the_words_of_the_reports() -> None:
    flat = Ledger(rows_in=4, rows_train=2, rows_eval=1, rows_rejected=1, rejected_by_reason={"a": 1}).flat()
    assert (flat["rows_in"], flat["rows_trained"], flat["rows_held_out"], flat["rows_rejected"]) == (4, 2, 1, 1)
    assert flat["rejected_by_reason"] == {"a": 1}


def test_rows_left_out_are_part_of_every_sum() -> None:
    ledger = Ledger(rows_in=5, rows_train=2, rows_left_out=3)
    assert Ledger.total([ledger, ledger]).rows_left_out == 6
    assert ledger.rejecting(["train"], {"a": 1}).rows_left_out == 3
    assert ledger.flat()["rows_left_out"] == 3


def test_rejections_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = [rejection(0), rejection(1, "a\nb", "line one\r\nline two\u2028three \U0001f600")]
    write_rejections(tmp_path / "rejected.jsonl", written)
    assert read_rejections(tmp_path / "rejected.jsonl") == written
    assert (tmp_path / "rejected.jsonl").read_bytes().count(b"\n") == 2


def test_no_rejections_are_an_empty_file(tmp_path: Path) -> None:
    write_rejections(tmp_path / "rejected.jsonl", [])
    assert read_rejections(tmp_path / "rejected.jsonl") == []


def test_a_rejection_quotes_the_start_of_its_row() -> None:
    made = Rejection.of("train", {"row": 7, "line": None}, "detect_formats", "why", "x" * 1000)
    assert (made.row, made.line, made.excerpt) == (7, None, "x" * EXCERPT_CHARS)


def test_reasons_are_counted_most_frequent_first() -> None:
    counted = count_reasons([rejection(0, "a"), rejection(1, "b"), rejection(2, "b")])
    assert list(counted.items()) == [("b", 2), ("a", 1)]
