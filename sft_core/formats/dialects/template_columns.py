"""The columns that accompany a conversation into the chat template: `tools` and `chat_template_kwargs`."""

from typing import Any

import orjson

from sft_core.formats.dialects.dialect import Fields, RowRejectedError


def tools_of(fields: Fields) -> tuple[dict[str, Any], ...] | None:
    """Return the row's tools: a list of JSON schemas or a JSON string of one; absent and null mean none."""
    tools = fields.get("tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = orjson.loads(tools)
        except orjson.JSONDecodeError as error:
            raise RowRejectedError("`tools` is a string but not JSON") from error
    if not tools or isinstance(tools, str):  # an empty string is how CSV writes that there are none
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise RowRejectedError("`tools` is not a list of objects")
    return tuple(tools)


def chat_template_kwargs_of(fields: Fields) -> dict[str, Any] | None:
    """Return the row's arguments for the template; absent and null mean none."""
    kwargs = fields.get("chat_template_kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise RowRejectedError("`chat_template_kwargs` is not an object")
    return kwargs or None
