"""Reading and writing of JSON, in which every failure is a rejection with a reason.

orjson reads nearly every row (whole numbers beyond 64 bits become floats, as in most readers). Text that it refuses is
read again by the standard library, so that damage in an unused column does not reject the row. Damage in the example
itself is found when the example is written:

    {"text": "a", "id": "\\ud800"}    accepted: the lone surrogate is in an unused column
    {"text": "\\ud800"}               rejected: half a surrogate pair
    {"text": NaN}                   rejected: `text` is NaN or Infinity, not text
"""

import json
import math
import re
from typing import Any

import orjson

from sft_core.data.formats.rejection import RowRejectedError

TOO_DEEP = "nested too deeply: more than about 250 levels"
MOST_LEVELS = 250
"""Largest nesting of lists and objects in what is kept of a row; orjson writes 254. The levels are counted, because
Python's recursion limit differs between versions of Python."""


class NonFinite:
    """Placeholder for a NaN or Infinity that was read. JSON has no such number, and orjson silently writes null."""


NON_FINITE = NonFinite()

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_REASONS_NOT_WRITTEN = {
    "str is not valid UTF-8: surrogates not allowed": "text holds half a surrogate pair, which is not Unicode",
    "Integer exceeds 64-bit range": "a whole number has more than 64 bits",
    "Recursion limit reached": TOO_DEEP,
    "Type is not JSON serializable: NonFinite": "a number is NaN or Infinity, which JSON does not have",
    "Dict key must be str": "the name of a column or key is not text",
}


def decode(text: str) -> Any:
    """Read JSON.

    Raises:
        RowRejectedError: if neither orjson nor the standard library can read it.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        if error.msg.startswith("depth limit exceeded"):
            raise RowRejectedError(TOO_DEEP) from error
        return _decode_leniently(text)


def _decode_leniently(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=lambda _: NON_FINITE, parse_float=_finite)
    except RecursionError as error:
        raise RowRejectedError(TOO_DEEP) from error
    except json.JSONDecodeError as error:
        raise RowRejectedError("not JSON") from error
    except ValueError as error:  # Python's limit on the digits of a whole number
        raise RowRejectedError("a whole number has thousands of digits") from error


def _finite(digits: str) -> float | NonFinite:
    number = float(digits)
    return number if math.isfinite(number) else NON_FINITE


def decode_inner(text: str, place: str) -> Any:
    """Read JSON inside a JSON string; if it is broken, the reason names its place in the row."""
    try:
        return decode(text)
    except RowRejectedError as error:
        raise RowRejectedError(f"{place} is a string but not JSON") from error


def encode(value: Any, *, sort_keys: bool = False) -> bytes:
    """Write JSON that can be trained on.

    Raises:
        RowRejectedError: for a value that JSON cannot represent, and for text with U+0000, which is a sign of a damaged
            or binary file, and at which C libraries and databases cut text off.
    """
    try:
        written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort_keys else None)
    except TypeError as error:
        reason = str(error)
        raise RowRejectedError(_REASONS_NOT_WRITTEN.get(reason, f"cannot be kept as JSON: {reason}")) from error
    if b"\\u0000" in written and _NUL.search(written):
        raise RowRejectedError("text holds the character U+0000 (NUL)")
    return bytes(written)


def without_nulls(value: Any, levels: int = MOST_LEVELS) -> Any:
    """Remove the keys whose value is null, at any depth: Arrow inserts them where objects of a column differ.

    Args:
        value: A value that JSON can represent.
        levels: Number of levels of lists and objects that it may have below its outermost one.

    Raises:
        RowRejectedError: if it has more levels.
    """
    if levels < 0:
        raise RowRejectedError(TOO_DEEP)
    if isinstance(value, dict):
        return {key: without_nulls(item, levels - 1) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item, levels - 1) for item in value]
    return value
