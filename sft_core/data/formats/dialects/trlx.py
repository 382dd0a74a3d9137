"""Dialogues of trlX: a list of strings that alternate between prompt and output. A row may be the bare list.

    ["2+2=", "4"]                      →  prompt "2+2=", completion "4", as text
    ["2+2?", "4", "and 3+3?", "6"]     →  user, assistant, user, assistant

Longer ones are conversations, because one text cannot have several learned parts. All outputs are learned, as in trlX:
the completion begins at the first output, and the prompts after it have weight 0. Two things differ from trlX: a chat
template is applied (the bundled `plain` template writes contents only), and empty strings stay where they are.
"""

from typing import Any

from sft_core.data.formats.dialects.conversation_columns import conversation_of
from sft_core.data.formats.dialects.dialect import Dialect, Fields
from sft_core.data.formats.json_text import decode_inner
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Example, Message, TextExample

COLUMNS = ("samples", "dialogue", "dialog")


def _convert(fields: Fields) -> Example:
    column = next(column for column in COLUMNS if column in fields)
    phrases = _phrases(fields[column], column)
    if len(phrases) == 2:
        return TextExample(phrases[0], phrases[1], has_prompt=True)
    return conversation_of({}, tuple(_message(position, text) for position, text in enumerate(phrases)), 1)


def _phrases(value: Any, column: str) -> list[str]:
    phrases = decode_inner(value, f"`{column}`") if isinstance(value, str) else value
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        raise RowRejectedError(f"`{column}` is not a list of strings")
    if len(phrases) % 2 == 1:
        raise RowRejectedError(f"`{column}` has an odd number of strings; prompts and outputs alternate")
    if not any(phrase.strip() for phrase in phrases):
        raise RowRejectedError(f"`{column}` is empty")
    return phrases


def _message(position: int, text: str) -> Message:
    if position % 2 == 1:
        return {"role": "assistant", "content": text}
    return {"role": "user", "content": text} | ({"weight": 0} if position else {})


TRLX = Dialect("trlx", "trlX: a list of alternating prompts and outputs", tuple((c,) for c in COLUMNS), _convert)
