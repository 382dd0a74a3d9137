"""Tool calls inside a message, normalized to `{"type": "function", "function": {name, arguments}}` with arguments as an
object, which is the form that chat templates expect."""

from typing import Any

from sft_core.data.formats.dialects.dialect import Fields, kind_of
from sft_core.data.formats.json_text import decode_inner, without_nulls
from sft_core.data.formats.rejection import RowRejectedError


def tool_calls_of(value: Any, column: str) -> list[Fields]:
    """Check and normalize a list of calls. Arguments may be JSON strings, in which nulls are intended and kept, or
    objects, in which nulls were inserted by Arrow and are removed."""
    if not isinstance(value, list):
        raise RowRejectedError(f"`tool_calls` of a message in `{column}` is {kind_of(value)}, not a list")
    return [_call(call, column) for call in value]


def _call(call: Any, column: str) -> Fields:
    function = (call.get("function") or call) if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise RowRejectedError(f"a tool call in `{column}` is not an object with a function")
    name = function.get("name")
    if not isinstance(name, str) or not name.strip():
        raise RowRejectedError(f"a tool call in `{column}` has no function name")
    rest = {
        key: without_nulls(item)
        for key, item in call.items()
        if item is not None and key not in ("type", "function", "name", "arguments")
    }
    arguments = _arguments(function.get("arguments"), column)
    return {**rest, "type": "function", "function": {"name": name, "arguments": arguments}}


def _arguments(value: Any, column: str) -> Fields:
    if isinstance(value, str):
        value = decode_inner(value, f"`arguments` of a tool call in `{column}`") if value.strip() else {}
    elif isinstance(value, dict):
        value = without_nulls(value)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RowRejectedError(f"`arguments` of a tool call in `{column}` is {kind_of(value)}, not an object")
    return value
