"""Prompt and completion: two strings, or two lists of messages (or the JSON strings of such lists).

    {"prompt": "2+2=", "completion": "4"}                           text that is continued
    {"prompt": [{"role": "user", …}], "completion": [{…}]}          a conversation
    {"prompt": "2+2?", "completion": [{"role": "assistant", …}]}    a conversation; the string is the user's message

A string is parsed as a JSON list of messages only if it begins with an object whose first key is that of a message, so
that other text may begin with a bracket. Two strings together with a `system` prompt are a conversation.
"""

import re
from typing import Any

from sft_core.data.formats.dialects.conversation_columns import conversation_of, system_of
from sft_core.data.formats.dialects.dialect import Dialect, Fields, text_of
from sft_core.data.formats.dialects.message_list import messages_of
from sft_core.data.formats.json_text import decode_inner
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Example, Message, TextExample

_BEGINS_LIKE_MESSAGES = re.compile(r'\[\s*\{\s*"(role|content|from|value)"\s*:')


def example_of_pair(fields: Fields, prompt_column: str, completion_column: str) -> Example:
    """Read two columns as prompt and completion.

    Raises:
        RowRejectedError: if a column is neither text nor messages, or both are blank.
    """
    prompt, completion = _side(fields, prompt_column), _side(fields, completion_column)
    if isinstance(prompt, str) and isinstance(completion, str):
        if not completion.strip() and not prompt.strip():
            raise RowRejectedError(f"`{prompt_column}` and `{completion_column}` are both empty")
        if not system_of(fields):
            return TextExample(prompt, completion, has_prompt=True)
    before = _messages(prompt, prompt_column, "user")
    return conversation_of(fields, before + _messages(completion, completion_column, "assistant"), len(before))


def _side(fields: Fields, column: str) -> Any:
    """Return the column's text, or its list of messages."""
    value = fields[column]
    if isinstance(value, list):
        return value
    text = text_of(fields, column)
    if text.startswith("[") and _BEGINS_LIKE_MESSAGES.match(text):
        return decode_inner(text, f"`{column}`")
    return text


def _messages(value: Any, column: str, role: str) -> tuple[Message, ...]:
    return ({"role": role, "content": value},) if isinstance(value, str) else messages_of(value, column)


def _convert(fields: Fields) -> Example:
    return example_of_pair(fields, "prompt", "completion")


PROMPT_COMPLETION = Dialect(
    "prompt_completion", "prompt-completion: `prompt` and `completion`", (("prompt", "completion"),), _convert
)
