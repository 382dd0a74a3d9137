"""Alpaca rows: `instruction`, `output`, and perhaps `input`, `system` and `history`, read as a conversation with one
last answer.

{"instruction": "Add", "input": "2 and 3", "output": "5"}  →  user "Add\\n2 and 3", assistant "5" (the completion)
"""

from typing import Any

from sft_core.formats.dialects.dialect import Dialect, Fields, RowRejectedError, text_of
from sft_core.records import Conversation, Message


def _convert(fields: Fields) -> Conversation:
    request = "\n".join(part for part in (text_of(fields, "instruction"), _optional_text(fields, "input")) if part)
    if not request:
        raise RowRejectedError("`instruction` is empty")
    system = _optional_text(fields, "system")
    prompt = [
        *([_message("system", system)] if system else []),
        *(message for turn in _history(fields) for message in turn),
        _message("user", request),
    ]
    return Conversation((*prompt, _message("assistant", text_of(fields, "output"))), len(prompt))


def _history(fields: Fields) -> list[tuple[Message, Message]]:
    turns: Any = fields.get("history") or []
    if not isinstance(turns, list) or not all(_is_turn(turn) for turn in turns):
        raise RowRejectedError("`history` is not a list of [request, answer] pairs of text")
    return [(_message("user", request), _message("assistant", answer)) for request, answer in turns]


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, list) and len(turn) == 2 and all(isinstance(text, str) for text in turn)


def _optional_text(fields: Fields, column: str) -> str:
    return "" if fields.get(column) is None else text_of(fields, column)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


ALPACA = Dialect(
    "alpaca", "Alpaca: `instruction`, `output`, perhaps `input`", frozenset({"instruction", "output"}), _convert
)
