"""Conversion of ShareGPT turns, which have `from` and `value`, into messages.

{"from": "human", "value": "2+2?"}                                        →  {"role": "user", "content": "2+2?"}
{"from": "function_call", "value": "{\\"name\\": \\"add\\", \\"arguments\\": {}}"}  →  an assistant's `tool_calls`
"""

from typing import Any

from sft_core.data.formats.dialects.dialect import Fields
from sft_core.data.formats.json_text import decode_inner
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Message

ROLES = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "bot", "chatgpt", "bing", "bard", "ai"), "assistant"),
    **dict.fromkeys(("tool", "observation", "function", "function_response", "tool_response", "ipython"), "tool"),
    "system": "system",
    "developer": "developer",
}
"""Speaker → role."""
CALLS = frozenset(("function_call", "tool_call"))
"""Speakers whose turn is a tool call: an object `{"name", "arguments"}` or a list of them, as JSON."""


def message_from_turn(turn: Fields, column: str) -> Message:
    """Convert one turn; its other keys (`weight`, …) are kept. Turns may also be written with `role` and `content`."""
    speaker = turn.get("from", turn.get("role"))
    value = turn.get("value", turn.get("content"))
    rest = {key: item for key, item in turn.items() if key not in ("from", "value", "role", "content")}
    if isinstance(speaker, str) and speaker in CALLS:
        return {"role": "assistant", "content": None, "tool_calls": _calls(value, column), **rest}
    return {"role": _role(speaker, "from" in turn, column), "content": value, **rest}


def _role(speaker: Any, is_sharegpt: bool, column: str) -> Any:
    """Return the role of a speaker. The speaker of a `from` must be a known one. A `role` may be any that the template
    knows, and is checked with the message."""
    if not is_sharegpt:
        return ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
    if not isinstance(speaker, str) or speaker not in ROLES:
        raise RowRejectedError(f"a turn in `{column}` is from nobody we know")
    return ROLES[speaker]


def _calls(value: Any, column: str) -> list[Any]:
    if isinstance(value, str):
        value = decode_inner(value, f"a function call in `{column}`")
    return value if isinstance(value, list) else [value]
