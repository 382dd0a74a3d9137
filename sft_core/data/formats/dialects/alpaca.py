"""Alpaca rows: `instruction`, `output`, and optionally `input`, `system` and `history`, read as a conversation whose
last answer is the completion. Dolly's names `context` and `response` are accepted for `input` and `output`.

{"instruction": "Add", "input": "2 and 3", "output": "5"}  →  user "Add\\n2 and 3", assistant "5" (the completion)
"""

from typing import Any

from sft_core.data.formats.dialects.conversation_columns import conversation_of
from sft_core.data.formats.dialects.dialect import Dialect, Fields, optional_text_of, text_of
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Conversation, Message

ANSWERS = ("output", "response", "completion", "answer")


def _convert(fields: Fields) -> Conversation:
    parts = (text_of(fields, "instruction"), optional_text_of(fields, "input", "context"))
    request = "\n".join(part for part in parts if part.strip())
    if not request:
        raise RowRejectedError("`instruction` is empty")
    prompt = (*_history(fields), _message("user", request))
    answer = _message("assistant", optional_text_of(fields, *ANSWERS))
    return conversation_of(fields, (*prompt, answer), len(prompt))


def _history(fields: Fields) -> list[Message]:
    turns: Any = fields.get("history") or []
    if not isinstance(turns, list) or not all(_is_turn(turn) for turn in turns):
        raise RowRejectedError("`history` is not a list of [request, answer] pairs of text")
    return [_message(role, text) for turn in turns for role, text in zip(("user", "assistant"), turn, strict=True)]


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


ALPACA = Dialect(
    "alpaca",
    "Alpaca: `instruction`, `output`, perhaps `input`",
    tuple(("instruction", answer) for answer in ANSWERS),
    _convert,
)
