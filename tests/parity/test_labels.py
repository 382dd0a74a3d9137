"""What the matrix (`test_matrix.py`) does not show: a whole file in one go, and the one place where labels may differ.

All 7,473 rows of GSM8K take 7 to 10 s on 2 cores, most of them TRL's. Nothing predicts the first token of a row, so its
label means nothing, and where it is a beginning token ours is none.
"""

from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from .our_side import prepare, prepare_rows, recipe_of
from .tiny_tokenizer import save_word_tokenizer
from .trl_side import cut_by_trl, labelled_by_trl, trl_rows

pytestmark = [pytest.mark.parity, pytest.mark.sample]


def test_prompt_completion_on_all_of_gsm8k(
    data: Path,
    every_gsm8k_row: list[dict[str, Any]],
    tokenizer: PreTrainedTokenizerFast,
    tokenizer_folder: Path,
    tmp_path: Path,
) -> None:
    """From the columns as they are in the file, by the defaults of both sides."""
    columns = {"prompt": "question", "completion": "answer"}
    ours = prepare(recipe_of(data / "gsm8k_train.jsonl", tokenizer_folder, columns=columns), tmp_path / "ours")
    rows = [{"prompt": row["question"], "completion": row["answer"]} for row in every_gsm8k_row]
    theirs = trl_rows(rows, tokenizer, tmp_path)
    assert list(ours.rows) == list(theirs) == list(range(7473))
    different = [number for number in theirs if ours.rows[number] != theirs[number]]
    assert not different, f"{len(different)} rows differ, the first ones are {different[:5]}"


def test_a_beginning_token_is_no_label_and_nothing_else_differs(tmp_path: Path) -> None:
    """TRL writes `<s>` into the labels, where no loss ever looks; we do not: labels decode to what the row says."""
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "<s> $A")
    rows = [{"text": "two and two"}]
    ours, theirs = prepare_rows(rows, tmp_path / "tokenizer", tmp_path).rows[0], trl_rows(rows, tokenizer, tmp_path)[0]
    assert ours[0] == theirs[0] == tokenizer.convert_tokens_to_ids(["<s>", "two", "and", "two", "</s>"])
    assert (ours[1][0], theirs[1][0]) == (-100, tokenizer.bos_token_id)
    assert ours[1][1:] == theirs[1][1:]


@pytest.mark.parametrize("truncation_mode", ["keep_start", "keep_end"])
def test_trl_cuts_in_one_go_as_it_does_step_by_step(truncation_mode: str, tmp_path: Path) -> None:
    """The matrix lets TRL cut what TRL has labelled before."""
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    rows = [{"prompt": "two and " * number, "completion": "two and two"} for number in range(1, 6)]
    cut = {"max_length": 7, "truncation_mode": truncation_mode}
    labelled = labelled_by_trl(rows, tokenizer, tmp_path, max_length=None)
    assert cut_by_trl(labelled, tmp_path, **cut) == trl_rows(rows, tokenizer, tmp_path, **cut)
