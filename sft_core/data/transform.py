"""A function of the user's that turns one row into another, known by its code.

    # rows.py
    def shorten(row):
        return {"prompt": row["question"][:500], "completion": row["answer"]} if row["answer"] else None

    transform: rows.py:shorten          (or package.module.function, found from the working directory or as installed)

It gets a row as a dictionary, after `columns` renamed, and returns a dictionary, a string (taken as the column `text`)
or None (the row is left out). `sft_core.store.user_function` says what its identity is.
"""

import functools
from collections.abc import Callable
from typing import Any

from sft_core.store.records import FunctionRef
from sft_core.store.user_function import load_function, locate_function

Fields = dict[str, Any]
Transform = Callable[[Fields], Fields | None]


class TransformFailedError(Exception):
    """A transform does not work for one row; the message is a reason that many rows can share."""


def locate_transform(text: str) -> FunctionRef:
    """Find a function's module without importing it, and digest its code.

    Args:
        text: `package.module.function` or `path/to/file.py:function`.

    Raises:
        RecipeError: if there is no such module, or nothing of that name in it.
    """
    return locate_function(text, "transform")


@functools.cache
def load_transform(ref: FunctionRef) -> Transform:
    """Import the function.

    Returns:
        It, checked: a string that it returns comes out as `{"text": …}`; whatever it raises, and a result of another
        type, is a `TransformFailedError`.

    Raises:
        RecipeError: if its module cannot be imported, it is not callable, or its code is no longer the located one.
    """
    return _checked(load_function(ref, "transform", "one row"))


def _checked(function: Callable[[Fields], Any]) -> Transform:
    def transform(row: Fields) -> Fields | None:
        try:
            result = function(row)
        except Exception as error:
            raise TransformFailedError(f"the transform raised {type(error).__name__}") from error
        if isinstance(result, str):
            return {"text": result}
        if result is None or isinstance(result, dict):
            return result
        raise TransformFailedError(
            f"the transform returned a value of type {type(result).__name__}, not a dictionary, a string or None"
        )

    return transform
