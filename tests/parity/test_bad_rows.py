"""One bad row stops TRL, or empties the data set, or is learned wrongly; here it is rejected by number, or understood.

In each case the first row is good, unless TRL's failure is about all of them, and TRL is run live beside us.
"""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from .families import CHATML
from .our_side import Prepared, prepare_rows
from .tiny_tokenizer import save_word_tokenizer
from .trl_side import trainer_of, trl_rows

pytestmark = pytest.mark.parity

QUESTION, ANSWER = {"role": "user", "content": "two"}, {"role": "assistant", "content": "and"}
GOOD = {"messages": [QUESTION, ANSWER]}


@pytest.fixture
def word_tokenizer(tmp_path: Path) -> PreTrainedTokenizerFast:
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    tokenizer.chat_template = CHATML.their_template
    return tokenizer


def ours_of(rows: list[dict[str, Any]], folder: Path, **chat: Any) -> Prepared:
    return prepare_rows(rows, folder / "tokenizer", folder, chat=chat, chat_template=CHATML.our_template)


@pytest.mark.parametrize(
    ("rows", "error", "reason"),
    [
        pytest.param(
            [{"text": "two"}, {"text": None}],
            "'NoneType' object has no attribute 'endswith'",
            "`text` is null, needed for text",
            id="no_text",
        ),
        pytest.param(
            [{"prompt": "two", "completion": "and"}, {"prompt": "two"}],
            "'NoneType' object has no attribute 'endswith'",
            "`completion` is missing, needed for prompt_completion",
            id="no_completion",
        ),
        pytest.param([GOOD, {"messages": []}], "list index out of range", "`messages` is empty", id="no_messages"),
        pytest.param(
            [GOOD, {"messages": [{"content": "two"}, ANSWER]}],
            "'dict object' has no attribute 'role'",
            "a message in `messages` has no `role`",
            id="no_role",
        ),
        pytest.param(
            [{**GOOD, "tools": "[]"}, {**GOOD, "tools": "[{"}],
            "Expecting property name",
            "`tools` is a string but not JSON",
            id="broken_tools",
        ),
    ],
)
def test_a_bad_row_stops_trl_and_is_rejected_here(
    rows: list[dict[str, Any]], error: str, reason: str, word_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=error):
        trl_rows(rows, word_tokenizer, tmp_path)
    ours = ours_of(rows, tmp_path)
    assert list(ours.rows) == [0]
    assert [(rejection.row, rejection.reason) for rejection in ours.rejections] == [(1, reason)]


def test_a_conversation_without_the_assistant_stops_trl(
    word_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    rows = [GOOD, {"messages": [QUESTION]}]
    with pytest.raises(RuntimeError, match="at least one example has no assistant tokens"):
        trl_rows(rows, word_tokenizer, tmp_path, assistant_only_loss=True)
    ours = ours_of(rows, tmp_path, assistant_only_loss=True)
    assert list(ours.rows) == [0]
    assert [(rejection.row, rejection.reason) for rejection in ours.rejections] == [
        (1, "no token is a target of the loss")
    ]


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        pytest.param(
            [{**GOOD, "chat_template_kwargs": {"thinking": True}}, GOOD],
            "'NoneType' object is not a mapping",
            id="arguments_of_the_template_in_some_rows",
        ),
        pytest.param(
            [{"text": "two"}, GOOD], "'NoneType' object has no attribute 'endswith'", id="rows_of_several_formats"
        ),
    ],
)
def test_what_stops_trl_and_is_understood_here(
    rows: list[dict[str, Any]], error: str, word_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=error):
        trl_rows(rows, word_tokenizer, tmp_path)
    assert list(ours_of(rows, tmp_path).rows) == [0, 1]


def test_trl_makes_no_rows_of_messages_that_are_json_text(
    word_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    as_text = {"messages": '[{"role": "user", "content": "two"}, {"role": "assistant", "content": "and"}]'}
    assert len(trainer_of(Dataset.from_list([as_text]), word_tokenizer, tmp_path).train_dataset) == 0
    assert ours_of([as_text], tmp_path).rows == trl_rows([GOOD], word_tokenizer, tmp_path)


def test_trl_does_not_know_the_assistant_of_sharegpt(word_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "two"}, {"from": "gpt", "value": "and"}]
    with pytest.raises(ValueError, match="the dataset is not conversational"):
        trl_rows([{"conversations": turns}], word_tokenizer, tmp_path, assistant_only_loss=True)
    expected = trl_rows([GOOD], word_tokenizer, tmp_path, assistant_only_loss=True)
    assert ours_of([{"conversations": turns}], tmp_path, assistant_only_loss=True).rows == expected


@pytest.mark.parametrize(
    "columns",
    [
        pytest.param({"completion_mask": [0, 1, 1]}, id="completion_mask"),
        pytest.param({"labels": [3, 4, 2], "assistant_masks": [0, 1, 1]}, id="mask_beside_labels"),
    ],
)
def test_trl_forgets_masks_of_tokenized_rows(
    columns: dict[str, list[int]], word_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    rows = [{"input_ids": [3, 4, 2], **columns}]
    assert trl_rows(rows, word_tokenizer, tmp_path) == {0: ([3, 4, 2], [3, 4, 2])}
    assert ours_of(rows, tmp_path).rows == {0: ([3, 4, 2], [-100, 4, 2])}


def test_trl_keeps_fewer_labels_than_tokens_where_a_mask_is_too_short(
    word_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    rows = [{"input_ids": [3, 4, 2], "assistant_masks": [0, 1]}]
    assert trl_rows(rows, word_tokenizer, tmp_path) == {0: ([3, 4, 2], [-100, 4])}
    ours = ours_of(rows, tmp_path)
    assert [(rejection.row, rejection.reason) for rejection in ours.rejections] == [
        (0, "`assistant_masks` has another length than `input_ids`")
    ]
