"""What one row is kept as: the text of a JSON value, as it stood in the file wherever the file is JSON.

What Python's `json` can read and the fast parser cannot (half a surrogate pair, NaN, nesting of thousands of levels) is
one row's mistake and no reason to give up the file: such a row is kept as it stands, and the room that reads records
rejects it with its number. What no parser can read is a mistake in the file.
"""

import json
from typing import Any

import orjson

from sft_core.data.sources.pieces import Piece
from sft_core.errors import DataError

UNREADABLE = None
"""Stands for the value of a row that is kept but that the fast parser cannot read."""


def parse_row(content: bytes, piece: Piece, line: int, columns_before: int = 0) -> Any:
    """Read the JSON text of one row; `UNREADABLE` if it is valid, but only by a wider reading.

    Args:
        content: The text.
        piece: Where it is from.
        line: On which line it begins, from 1.
        columns_before: What stands before it on that line.

    Raises:
        DataError: if it is no JSON, with file, line and column.
        UnicodeDecodeError: if it is not UTF-8.
    """
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if _is_json(content.decode("utf-8")):
            return UNREADABLE
        column = error.colno + (columns_before if error.lineno == 1 else 0)
        raise DataError(
            f"{piece.path}, line {line + error.lineno - 1}: expected JSON, found an error at column {column}: "
            f"{error.msg}"
        ) from error


def _is_json(text: str) -> bool:
    try:
        json.loads(text, parse_int=str, parse_float=str)  # numbers of any length
    except RecursionError:
        return True  # too deep for anybody
    except ValueError:
        return False
    return True


def dump_row(value: Any) -> bytes | None:
    """Write a row as JSON text, in ASCII where the fast writer refuses it; None if it is nested too deeply for any."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value).encode()
        except RecursionError:
            return None


def rename_columns(value: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """Give mapped columns our names, and keep the others; one that had such a name already makes place for it.

    A row that lacks a mapped column keeps what it has, and is rejected where its format is told.

    Args:
        value: The row.
        columns: Our names → the file's.
    """
    ours = {theirs: name for name, theirs in columns.items()}
    others = {key: item for key, item in value.items() if key not in columns and key not in ours}
    return others | {ours[key]: item for key, item in value.items() if key in ours}
