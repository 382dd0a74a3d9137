"""The columns that accompany a conversation: `system`, `tools` and `chat_template_kwargs`."""

from typing import Any

from sft_core.data.formats.dialects.dialect import Fields, optional_text_of
from sft_core.data.formats.json_text import decode_inner, without_nulls
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Conversation, Message

INSTRUCTING_ROLES = ("system", "developer")


def conversation_of(fields: Fields, messages: tuple[Message, ...], completion_index: int | None = None) -> Conversation:
    """Combine messages with the row's other columns.

    A `system` column becomes the first message, unless the messages begin with one of their own.
    """
    system = system_of(fields)
    if system and messages[0]["role"] not in INSTRUCTING_ROLES:
        messages = ({"role": "system", "content": system}, *messages)
        completion_index = None if completion_index is None else completion_index + 1
    if not any(message["content"] or "tool_calls" in message for message in messages):
        raise RowRejectedError("nothing is said in the conversation")
    return Conversation(messages, completion_index, _tools(fields), _chat_template_kwargs(fields))


def system_of(fields: Fields) -> str:
    """Return the system prompt from its own column; empty if the column is missing, null or blank."""
    system = optional_text_of(fields, "system", "system_prompt")
    return system if system.strip() else ""


def _tools(fields: Fields) -> tuple[Fields, ...] | None:
    """Return the row's tools, given as a list of JSON schemas or a JSON string of one; None if absent, null or `[]`.

    Nulls in a list were inserted by Arrow and are removed; nulls in a JSON string are intended and kept.
    """
    tools = fields.get("tools")
    tools = _json_column(tools, "tools") if isinstance(tools, str) else without_nulls(tools)
    if tools is None:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RowRejectedError("`tools` is not a list of objects")
    return tuple(tools) or None


def _chat_template_kwargs(fields: Fields) -> dict[str, Any] | None:
    """Return the row's arguments for the chat template, an object or its JSON string; None if absent or null."""
    kwargs = fields.get("chat_template_kwargs")
    if isinstance(kwargs, str):
        kwargs = _json_column(kwargs, "chat_template_kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise RowRejectedError("`chat_template_kwargs` is not an object")
    return without_nulls(kwargs) or None


def _json_column(text: str, column: str) -> Any:
    """Parse the JSON of a column; return None for a blank string, which is how CSV writes a missing value."""
    return decode_inner(text, f"`{column}`") if text.strip() else None
