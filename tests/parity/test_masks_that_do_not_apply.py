"""Masks that a format has not: TRL refuses one for the whole data set and forgets the other; we reject the rows.

                 assistant_only_loss        completion_only_loss
text             TRL: error, no row named   TRL: loss on everything, nothing is said
prompt, text     TRL: error, no row named   -
messages         -                          TRL: loss on everything, nothing is said
"""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from .families import CHATML
from .our_side import prepare_rows
from .tiny_tokenizer import save_word_tokenizer
from .trl_side import trl_rows

pytestmark = pytest.mark.parity

TEXT = {"text": "two and two"}
PAIR = {"prompt": "two and", "completion": " two"}
MESSAGES = {"messages": [{"role": "user", "content": "two"}, {"role": "assistant", "content": "and"}]}


def our_reasons(row: dict[str, Any], folder: Path, **chat: bool) -> list[str]:
    """Of a row that is not kept."""
    prepared = prepare_rows([row], folder / "tokenizer", folder, chat=chat, chat_template=CHATML.our_template)
    assert prepared.rows == {}
    return [rejection.reason for rejection in prepared.rejections]


@pytest.mark.parametrize("row", [TEXT, PAIR], ids=["text", "text_pair"])
def test_assistant_only_loss_on_plain_text(row: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    with pytest.raises(ValueError, match="the dataset is not conversational"):
        trl_rows([row], tokenizer, tmp_path, assistant_only_loss=True)
    reasons = our_reasons(row, tmp_path, assistant_only_loss=True)
    assert reasons == ["`assistant_only_loss` needs a conversation, and the row is plain text"]


def test_completion_only_loss_on_text(tmp_path: Path) -> None:
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    ids, labels = trl_rows([TEXT], tokenizer, tmp_path, completion_only_loss=True)[0]
    assert labels == ids
    reasons = our_reasons(TEXT, tmp_path, completion_only_loss=True)
    assert reasons == ["`completion_only_loss` needs a prompt and a completion, and the row has one text"]


def test_completion_only_loss_on_messages(tmp_path: Path) -> None:
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    tokenizer.chat_template = CHATML.their_template
    ids, labels = trl_rows([MESSAGES], tokenizer, tmp_path, completion_only_loss=True)[0]
    assert labels == ids
    reasons = our_reasons(MESSAGES, tmp_path, completion_only_loss=True)
    assert reasons == ["`completion_only_loss` needs a prompt and a completion, and the row has one list of messages"]


def test_a_template_without_marks_is_enough(tmp_path: Path) -> None:
    """TRL knows some templates by heart, and refuses any other that marks nothing."""
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    tokenizer.chat_template = CHATML.our_template
    with pytest.raises(ValueError, match="not training-compatible"):
        trl_rows([MESSAGES], tokenizer, tmp_path, assistant_only_loss=True)
    ours = prepare_rows(
        [MESSAGES],
        tmp_path / "tokenizer",
        tmp_path,
        chat={"assistant_only_loss": True},
        chat_template=CHATML.our_template,
    )
    assert len(ours.rows) == 1


@pytest.mark.parametrize(("max_length", "rows_of_trl"), [(0, {}), (-1, {0: ([3, 4, 3], [3, 4, 3])})])
def test_a_limit_below_one_token(max_length: int, rows_of_trl: dict[int, Any], tmp_path: Path) -> None:
    """TRL slices by it: nothing is left, or all but the last token, which is the end token."""
    tokenizer = save_word_tokenizer(tmp_path / "tokenizer", "$A")
    assert trl_rows([TEXT], tokenizer, tmp_path, max_length=max_length) == rows_of_trl
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        prepare_rows([TEXT], tmp_path / "tokenizer", tmp_path, tokens={"max_length": max_length})
