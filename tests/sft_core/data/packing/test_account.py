"""What happens to the rows that packing leaves out."""

from dataclasses import replace
from pathlib import Path

import pytest

from sft_core.data.packing import PackingConfig, choose_rows, rejections_of_choice, without_left_out
from sft_core.data.packing.account import DUPLICATE, LEFT_OUT
from sft_core.data.token_rows import TokenRows
from sft_core.store.ledger import Ledger
from sft_core.store.records import TOKENS
from sft_core.store.tables import write_table

from .indexed_rows import indexed_rows

LEDGER = Ledger(
    rows_in=6,
    rows_train=4,
    rows_eval=1,
    rows_rejected=1,
    rejected_by_reason={"empty": 1},
    tokens_in=70,
    tokens_train=10 + 11 + 13 + 14,
    tokens_eval=12,
    tokens_truncated=10,
    targets_train=5 + 6 + 8 + 9,
    targets_eval=7,
)


@pytest.fixture
def rows(tmp_path: Path) -> TokenRows:
    """Two shards of 3 and 2 rows; the fourth row is equal to the first, and the fifth is alone."""
    rows = indexed_rows([7, 8, 9, 7, 6], [3, 2], held_out="ttett")
    files = (tmp_path / "0.arrow", tmp_path / "1.arrow")
    for file, own in zip(files, ([0, 1, 2], [3, 4]), strict=True):
        lines = [{"row": row, "line": row + 1, "split": "train", "input_ids": [], "loss_mask": []} for row in own]
        write_table(file, TOKENS, lines)
    return replace(rows, files=files)


def test_duplicates_are_rejected_with_their_tokens(rows: TokenRows) -> None:
    choices = {
        split: choose_rows(PackingConfig(drop_duplicates=True), rows, split, [1, 1]) for split in ("train", "eval")
    }
    ledger = without_left_out(LEDGER, rows, choices)
    assert (ledger.rows_train, ledger.rows_eval, ledger.rows_rejected) == (3, 1, 2)
    assert ledger.rejected_by_reason == {"empty": 1, DUPLICATE: 1}
    assert (ledger.tokens_train, ledger.tokens_rejected, ledger.targets_train) == (10 + 11 + 14, 13, 5 + 6 + 9)


def test_nothing_left_out_leaves_the_ledger_as_it_is(rows: TokenRows) -> None:
    choices = {split: choose_rows(PackingConfig(), rows, split, [2, 1]) for split in ("train", "eval")}
    assert without_left_out(LEDGER, rows, choices) == LEDGER
    assert [list(rejections_of_choice(rows, choice)) for choice in choices.values()] == [[], []]


def test_a_duplicate_is_named_with_the_row_that_it_is_equal_to(rows: TokenRows) -> None:
    (rejection,) = rejections_of_choice(rows, choose_rows(PackingConfig(drop_duplicates=True), rows, "train", [1, 1]))
    assert rejection.model_dump() == {
        "source": "source-1",
        "row": 3,
        "line": 4,
        "stage": "pack_shards",
        "reason": DUPLICATE,
        "excerpt": "equal to row 0 of source-0",
        "file": None,
    }


def test_a_duplicate_is_named_with_its_file_and_that_of_the_other_row_where_files_are_known(rows: TokenRows) -> None:
    choice = choose_rows(PackingConfig(drop_duplicates=True), rows, "train", [1, 1])
    (rejection,) = rejections_of_choice(rows, choice, ["a.jsonl", "b.jsonl"])
    assert (rejection.file, rejection.excerpt) == ("b.jsonl", "equal to row 0 of source-0, a.jsonl")


def test_rows_left_out_by_repeat_are_rejected_too(rows: TokenRows) -> None:
    choice = choose_rows(PackingConfig(), rows, "train", [1, 0])
    rejections = [(r.source, r.row, r.line, r.reason) for r in rejections_of_choice(rows, choice)]
    assert rejections == [("source-1", 3, 4, LEFT_OUT), ("source-1", 4, 5, LEFT_OUT)]
    assert without_left_out(LEDGER, rows, {"train": choice}).rejected_by_reason == {"empty": 1, LEFT_OUT: 2}
