"""Dialect: a way in which people write down training examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sft_core.data.formats.json_text import NonFinite
from sft_core.data.formats.rejection import RowRejectedError
from sft_core.store.records import Example

Fields = dict[str, Any]
"""The columns of a row that are not null."""
Columns = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Dialect:
    """One way to write examples.

    `columns` lists the alternatives: a row that has all columns of one of them is of this dialect. `convert` turns
    such a row into an example or raises `RowRejectedError`.
    """

    name: str
    description: str
    columns: tuple[Columns, ...]
    convert: Callable[[Fields], Example]


def text_of(fields: Fields, column: str) -> str:
    """Return a column that must hold a string."""
    value = fields[column]
    if not isinstance(value, str):
        raise RowRejectedError(f"`{column}` is {kind_of(value)}, not text")
    return value


def optional_text_of(fields: Fields, *columns: str) -> str:
    """Return the first of the columns that is there, which must hold a string; the empty string if none is."""
    present = next((column for column in columns if column in fields), None)
    return "" if present is None else text_of(fields, present)


def kind_of(value: Any) -> str:
    """Name the JSON type of a value."""
    return _KINDS[type(value)]


_KINDS = {
    type(None): "null",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    NonFinite: "NaN or Infinity",
    str: "text",
    list: "a list",
    dict: "an object",
}
