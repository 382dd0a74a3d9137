"""ShareGPT: a list of turns whose speakers have many names, and tools as a JSON string.

    {"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}], "tools": "[…]"}

Turns written with `role` and `content` are accepted too. A tool without its envelope gets one (`{"name", "parameters"}`
becomes `{"type": "function", "function": {…}}`), because tools are given in this form at inference.
"""

from dataclasses import replace
from typing import Any

from sft_core.data.formats.dialects.conversation_columns import conversation_of
from sft_core.data.formats.dialects.dialect import Dialect, Fields
from sft_core.data.formats.dialects.message_list import messages_of
from sft_core.data.formats.dialects.turns import message_from_turn
from sft_core.data.formats.json_text import decode_inner
from sft_core.store.records import Conversation

COLUMNS = ("conversations", "conversation")


def _convert(fields: Fields) -> Conversation:
    column = next(column for column in COLUMNS if column in fields)
    turns = fields[column]
    if isinstance(turns, str):
        turns = decode_inner(turns, f"`{column}`")
    if isinstance(turns, list):
        turns = [message_from_turn(turn, column) if isinstance(turn, dict) else turn for turn in turns]
    conversation = conversation_of(fields, messages_of(turns, column))
    if conversation.tools is None:
        return conversation
    return replace(conversation, tools=tuple(_enveloped(tool) for tool in conversation.tools))


def _enveloped(tool: Fields) -> Fields:
    is_bare: Any = "name" in tool and "function" not in tool and "type" not in tool
    return {"type": "function", "function": tool} if is_bare else tool


SHAREGPT = Dialect(
    "sharegpt", "ShareGPT: `conversations` of `from` and `value`", tuple((column,) for column in COLUMNS), _convert
)
