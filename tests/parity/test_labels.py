"""Labels are token for token those of TRL 1.16, in every way of masking that both have.

    rows                                     loss on                  compared with
    question → prompt, answer → completion   completion               SFTConfig()
    the same                                 all                      completion_only_loss=False
    the same, cut to 96 tokens               completion               max_length=96
    the same, cut at the start               completion, all          truncation_mode="keep_end"
    [user] → [assistant], ChatML             completion               SFTConfig()
    two problems a conversation, ChatML      what the assistant says  assistant_only_loss=True
    [user, assistant], ChatML                all                      SFTConfig()
    C4 text                                  all                      SFTConfig()

The first line is always run on all 7,473 rows (11 s on 2 cores, most of them TRL's), those below it on the first
1,500 (2 to 3 s each), or on all with SFT_TEST_FULL=1: then also without a difference. Nothing predicts the first token
of a row, so its label means nothing: it is the one place where we may differ, and the last test shows where.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from .our_side import Prepared, prepare, recipe_of
from .tiny_tokenizer import save_word_tokenizer
from .trl_side import LabelledRow, trl_rows

pytestmark = pytest.mark.parity

Rows = list[dict[str, Any]]


def assert_same_labels(ours: Prepared, theirs: dict[int, LabelledRow]) -> None:
    assert list(ours.rows) == list(theirs), "other rows were kept"
    different = [number for number in theirs if ours.rows[number] != theirs[number]]
    assert not different, f"{len(different)} of {len(theirs)} rows differ, the first ones are {different[:5]}"


def as_prompt_completion(gsm8k: Rows) -> Rows:
    return [{"prompt": row["question"], "completion": row["answer"]} for row in gsm8k]


def as_messages(gsm8k: Rows) -> tuple[Rows, Rows]:
    """The question as a user's turn, the answer as the assistant's."""
    questions = [{"role": "user", "content": row["question"]} for row in gsm8k]
    answers = [{"role": "assistant", "content": row["answer"]} for row in gsm8k]
    return questions, answers


def written(rows: Rows, folder: Path) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_prompt_completion_on_all_of_gsm8k(
    data: Path, every_gsm8k_row: Rows, tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    columns = {"prompt": "question", "completion": "answer"}
    ours = prepare(recipe_of(data / "gsm8k_train.jsonl", tokenizer_folder, columns=columns), tmp_path / "ours")
    assert len(ours.rows) == 7473
    assert_same_labels(ours, trl_rows(as_prompt_completion(every_gsm8k_row), tokenizer, tmp_path))


def test_prompt_completion_with_loss_on_all_tokens(
    gsm8k_rows: Rows, tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    rows = as_prompt_completion(gsm8k_rows)
    recipe = recipe_of(written(rows, tmp_path), tokenizer_folder, chat={"completion_only_loss": False})
    ours = prepare(recipe, tmp_path / "ours")
    assert ours.ledger.targets_train == ours.ledger.tokens_train - len(rows)
    assert_same_labels(ours, trl_rows(rows, tokenizer, tmp_path, completion_only_loss=False))


def test_truncated_prompt_completion_keeps_the_same_rows_and_accounts_for_the_others(
    gsm8k_rows: Rows, tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    rows = as_prompt_completion(gsm8k_rows)
    recipe = recipe_of(written(rows, tmp_path), tokenizer_folder, tokens={"max_length": 96})
    ours, theirs = prepare(recipe, tmp_path / "ours"), trl_rows(rows, tokenizer, tmp_path, max_length=96)
    assert_same_labels(ours, theirs)
    dropped_by_trl = sorted(set(range(len(rows))) - theirs.keys())
    assert dropped_by_trl, "96 tokens are meant to be too few for some prompts"
    assert [rejection.row for rejection in ours.rejections] == dropped_by_trl
    assert ours.ledger.rows_in == len(rows) == ours.ledger.rows_train + ours.ledger.rows_rejected


@pytest.mark.parametrize("completion_only_loss", [True, False])
def test_prompt_completion_cut_at_the_start(
    completion_only_loss: bool,
    gsm8k_rows: Rows,
    tokenizer: PreTrainedTokenizerFast,
    tokenizer_folder: Path,
    tmp_path: Path,
) -> None:
    rows = as_prompt_completion(gsm8k_rows)
    sections = {
        "tokens": {"max_length": 96, "truncation_mode": "keep_end"},
        "chat": {"completion_only_loss": completion_only_loss},
    }
    ours = prepare(recipe_of(written(rows, tmp_path), tokenizer_folder, **sections), tmp_path / "ours")
    theirs = trl_rows(
        rows,
        tokenizer,
        tmp_path,
        max_length=96,
        truncation_mode="keep_end",
        completion_only_loss=completion_only_loss,
    )
    assert len(ours.rows) == len(rows)
    assert ours.ledger.rows_truncated > 0
    assert_same_labels(ours, theirs)


def test_conversational_prompt_completion(
    gsm8k_rows: Rows, chatml_tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    questions, answers = as_messages(gsm8k_rows)
    rows = [{"prompt": [question], "completion": [answer]} for question, answer in zip(questions, answers, strict=True)]
    recipe = recipe_of(written(rows, tmp_path), tokenizer_folder, chat={"chat_template_path": "chatml"})
    assert_same_labels(prepare(recipe, tmp_path / "ours"), trl_rows(rows, chatml_tokenizer, tmp_path))


def test_messages_with_assistant_only_loss(
    gsm8k_rows: Rows, chatml_tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    questions, answers = as_messages(gsm8k_rows)
    turns = list(zip(questions, answers, strict=True))
    # Two problems a row, so that what is masked lies between what is learned.
    rows = [{"messages": [*first, *second]} for first, second in zip(turns, turns[1:] + turns[:1], strict=True)]
    chat = {"chat_template_path": "chatml", "assistant_only_loss": True}
    recipe = recipe_of(written(rows, tmp_path), tokenizer_folder, chat=chat)
    assert_same_labels(
        prepare(recipe, tmp_path / "ours"), trl_rows(rows, chatml_tokenizer, tmp_path, assistant_only_loss=True)
    )


def test_messages_with_loss_on_all_tokens(
    gsm8k_rows: Rows, chatml_tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path
) -> None:
    rows = [{"messages": list(turn)} for turn in zip(*as_messages(gsm8k_rows), strict=True)]
    recipe = recipe_of(written(rows, tmp_path), tokenizer_folder, chat={"chat_template_path": "chatml"})
    assert_same_labels(prepare(recipe, tmp_path / "ours"), trl_rows(rows, chatml_tokenizer, tmp_path))


def test_plain_text(data: Path, tokenizer: PreTrainedTokenizerFast, tokenizer_folder: Path, tmp_path: Path) -> None:
    path = data / "c4_demo.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ours = prepare(recipe_of(path, tokenizer_folder), tmp_path / "ours")
    assert_same_labels(ours, trl_rows(rows, tokenizer, tmp_path))
    assert ours.ledger.rows_truncated > 0, "some texts are meant to be longer than the default of 1024 tokens"


def test_a_beginning_token_is_no_label_and_nothing_else_differs(tmp_path: Path) -> None:
    """TRL writes `<s>` into the labels, where no loss ever looks; we do not: labels decode to what the row says."""
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "<s> $A")
    rows = [{"text": "two and two"}]
    ours = prepare(recipe_of(written(rows, tmp_path), tmp_path / "tokenizer"), tmp_path / "ours").rows[0]
    theirs = trl_rows(rows, tokenizer, tmp_path)[0]
    assert ours[0] == theirs[0] == tokenizer.convert_tokens_to_ids(["<s>", "two", "and", "two", "</s>"])
    assert (ours[1][0], theirs[1][0]) == (-100, tokenizer.bos_token_id)
    assert ours[1][1:] == theirs[1][1:]
