"""Lists of chat messages, which are checked and normalized, so that equal conversations compare equal.

A message keeps every key that a template may read, without the nulls that Arrow inserts. `content` is always present
(null if there are only tool calls). Text parts are joined; a list of parts stays a list only if it has an image (which
`sft_core.data.formats.images` takes out). Any role is accepted, `developer` too: the template decides whether it
exists.
"""

from typing import Any

from sft_core.data.formats.dialects.dialect import Fields, kind_of
from sft_core.data.formats.dialects.tool_calls import tool_calls_of
from sft_core.data.formats.dialects.turns import message_from_turn
from sft_core.data.formats.json_text import decode_inner, without_nulls
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Message

TEXT_KEYS = ("name", "tool_call_id", "thinking", "reasoning_content")
"""Keys of a message whose values must be text if they are present."""
IMAGE_PARTS = frozenset(("image", "image_url"))


def messages_of(value: Any, column: str) -> tuple[Message, ...]:
    """Read a list of messages, or the JSON string of one.

    Raises:
        RowRejectedError: if a message is malformed; the reason names the column and the defect.
    """
    if isinstance(value, str):
        value = decode_inner(value, f"`{column}`")
    if not isinstance(value, list):
        raise RowRejectedError(f"`{column}` is {kind_of(value)}, not a list of messages")
    if not value:
        raise RowRejectedError(f"`{column}` is empty")
    return tuple([_message(item, column) for item in value])


def _message(item: Any, column: str) -> Message:
    if not isinstance(item, dict):
        raise RowRejectedError(f"a message in `{column}` is {kind_of(item)}, not an object")
    if item.get("from") is not None and item.get("role") is None:
        item = message_from_turn(item, column)
    role, content = item.get("role"), item.get("content")
    if not isinstance(role, str) or not role.strip():
        raise RowRejectedError(f"a message in `{column}` has no `role`")
    if len(item) == 2 and isinstance(content, str):
        return {"role": role, "content": content}
    message = _with_calls(item, column)
    message["content"] = _content(content, column)
    if message["content"] is None and not message.get("tool_calls"):
        raise RowRejectedError(f"a message in `{column}` has neither `content` nor `tool_calls`")
    _check_texts(message, column)
    _check_flags(message, column)
    return message


def _with_calls(item: Fields, column: str) -> Message:
    """Copy a message without nulls and with normalized tool calls; `function_call` is the old name for one call."""
    message = {
        key: without_nulls(value)
        for key, value in item.items()
        if value is not None and key not in ("tool_calls", "function_call")
    }
    calls = item.get("tool_calls")
    if calls is None and item.get("function_call") is not None:
        calls = [item["function_call"]]
    if calls is not None and (checked := tool_calls_of(calls, column)):
        message["tool_calls"] = checked
    return message


def _content(content: Any, column: str) -> Any:
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise RowRejectedError(f"`content` of a message in `{column}` is {kind_of(content)}, not text")
    if not content:
        raise RowRejectedError(f"`content` of a message in `{column}` is an empty list")
    parts = [_part(part, column) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _part(part: Any, column: str) -> Fields:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        if not isinstance(part.get("text"), str):
            raise RowRejectedError(f"a text part of `content` in `{column}` has no `text`")
    elif not isinstance(kind, str) or kind not in IMAGE_PARTS:
        raise RowRejectedError(f"a part of `content` in `{column}` is neither text nor an image")
    stripped: Fields = without_nulls(part)
    return stripped


def _check_texts(message: Message, column: str) -> None:
    for key in TEXT_KEYS:
        if key in message and not isinstance(message[key], str):
            raise RowRejectedError(f"`{key}` of a message in `{column}` is {kind_of(message[key])}, not text")


def _check_flags(message: Message, column: str) -> None:
    weight, train = message.get("weight", 1), message.get("train", True)
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise RowRejectedError(f"`weight` of a message in `{column}` is {kind_of(weight)}, not a number")
    if weight < 0:
        raise RowRejectedError(f"`weight` of a message in `{column}` is negative")
    if not isinstance(train, bool):
        raise RowRejectedError(f"`train` of a message in `{column}` is {kind_of(train)}, not a boolean")
