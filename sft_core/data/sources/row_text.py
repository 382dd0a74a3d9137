"""Text that one row is stored as: that of a JSON value, unchanged if the file is JSON.

Text that Python's `json` can read but the fast parser cannot (half a surrogate pair, NaN, nesting of thousands of
levels) is an error of one row and no reason to give up the file. Such a row is kept unchanged, and `detect_formats`
rejects it with its number. Text that no parser can read is an error of the file.
"""

import json
from typing import Any

import orjson

from sft_core.data.sources.pieces import FilePiece
from sft_core.errors import DataError

UNREADABLE = None
"""Value in place of that of a row that is kept although the fast parser cannot read it."""


def parse_row(content: bytes, piece: FilePiece, line: int, columns_before: int = 0) -> Any:
    """Parse the JSON text of one row; return `UNREADABLE` if only the more lenient parser of Python accepts it.

    Args:
        content: The text.
        piece: The piece that it is from.
        line: The line on which it begins, from 1.
        columns_before: Number of columns before it on that line.

    Raises:
        DataError: if it is not JSON; the message has file, line and column.
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
        return True  # nested too deeply for either parser; the row is rejected later
    except ValueError:
        return False
    return True


def dump_row(value: Any) -> bytes | None:
    """Return a row as JSON text, in ASCII if the fast writer refuses it; None if it is nested too deeply for both."""
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:
        try:
            return json.dumps(value).encode()
        except RecursionError:
            return None


def rename_columns(value: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """Rename the mapped columns and keep the others; a column that already had one of the new names is replaced.

    A row that lacks a mapped column keeps its other columns, and is rejected when its format is detected.

    Args:
        value: The row.
        columns: New names → names in the file.
    """
    ours = {theirs: name for name, theirs in columns.items()}
    others = {key: item for key, item in value.items() if key not in columns and key not in ours}
    return others | {ours[key]: item for key, item in value.items() if key in ours}
