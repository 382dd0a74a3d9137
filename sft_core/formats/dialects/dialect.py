"""What a dialect is: a way in which people write down training examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sft_core.records import Example, Message

Fields = dict[str, Any]


class RowRejectedError(Exception):
    """This one row cannot be used; the message is a reason that many rows can share."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to write examples.

    `required` names the columns whose presence makes a row of this dialect; `convert` turns such a row into an example
    or raises `RowRejectedError`.
    """

    name: str
    description: str
    required: frozenset[str]
    convert: Callable[[Fields], Example]

    def claims(self, fields: Fields) -> bool:
        """Whether the row has the columns."""
        return self.required <= fields.keys()


def text_of(fields: Fields, column: str) -> str:
    """Return a column that must hold a string."""
    value = fields[column]
    if not isinstance(value, str):
        raise RowRejectedError(f"`{column}` is {_kind(value)}, not text")
    return value


def messages_of(value: Any, column: str) -> tuple[Message, ...]:
    """Check a list of chat messages: each has a role, and content or tool calls."""
    if not isinstance(value, list):
        raise RowRejectedError(f"`{column}` is {_kind(value)}, not a list of messages")
    if not value:
        raise RowRejectedError(f"`{column}` is empty")
    for message in value:
        _check_message(message, column)
    return tuple(
        {key: item for key, item in message.items() if item is not None or key == "content"} for message in value
    )


def _check_message(message: Any, column: str) -> None:
    if not isinstance(message, dict):
        raise RowRejectedError(f"a message in `{column}` is {_kind(message)}, not an object")
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str) or not role:
        raise RowRejectedError(f"a message in `{column}` has no `role`")
    if content is None and not message.get("tool_calls"):
        raise RowRejectedError(f"a message in `{column}` has neither `content` nor `tool_calls`")
    if content is not None and not isinstance(content, str):
        raise RowRejectedError(f"`content` of a message in `{column}` is {_kind(content)}, not text")


def _kind(value: Any) -> str:
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return names[type(value)]
