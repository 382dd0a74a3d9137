"""Rows to read, and how the tests read them."""

import json
from typing import Any

import pytest

from sft_core.data.formats import FormatsConfig
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.data.formats.row_reader import ReadRow, RowReader, fields_of, match_row
from sft_core.store.records import Conversation, Example

Fields = dict[str, Any]

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "2+2?"}
ANSWER = {"role": "assistant", "content": "4"}
FUNCTION = {"name": "add", "arguments": {"a": 2}}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": FUNCTION}]}
RESULT = {"role": "tool", "content": "4"}
TOOL = {"type": "function", "function": {"name": "add"}}


def example_of(row: Any, **config: Any) -> Example:
    return _read(row, FormatsConfig(**config))[1]


def format_of(row: Any, **config: Any) -> str:
    return _read(row, FormatsConfig(**config))[0]


def conversation_of(row: Any, **config: Any) -> Conversation:
    example = example_of(row, **config)
    assert isinstance(example, Conversation)
    return example


def read(row: Any, **config: Any) -> ReadRow:
    """Read a row as detection does; a string is the record's own text."""
    found = RowReader(FormatsConfig(**config), None).read(row if isinstance(row, str) else json.dumps(row))
    assert found is not None
    return found


def reason(row: Any, **config: Any) -> str:
    with pytest.raises(RowRejectedError) as caught:
        read(row, **config)
    return str(caught.value)


def _read(row: Any, config: FormatsConfig) -> tuple[str, Example]:
    match, present = match_row(fields_of(row, config.dataset_text_field), config)
    return match.dialect.name, match.dialect.convert(present)
