"""A function of the user that turns one row into another. It is identified by its code.

    # rows.py
    def shorten(row):
        return {"prompt": row["question"][:500], "completion": row["answer"]} if row["answer"] else None

    transform: rows.py:shorten          (or package.module.function, found from the working directory or as installed)

The function receives a row as a dictionary, after `columns` has renamed its columns. It returns a dictionary, a string
(used as the column `text`) or None (the row is skipped). `sft_core.store.user_function` defines its identity.
"""

import functools
from collections.abc import Callable
from typing import Any

from sft_core.store.records import FunctionRef
from sft_core.store.user_function import load_function, locate_function

Fields = dict[str, Any]
Transform = Callable[[Fields], Fields | None]


class TransformFailedError(Exception):
    """Raised if a transform fails on one row; the message is a reason that many rows can share."""


def locate_transform(text: str) -> FunctionRef:
    """Find a function's module without importing it, and digest its code.

    Args:
        text: `package.module.function` or `path/to/file.py:function`.

    Raises:
        RecipeError: if the module does not exist, or has nothing of that name.
    """
    return locate_function(text, "transform")


@functools.cache
def load_transform(ref: FunctionRef) -> Transform:
    """Import the function.

    Returns:
        The function with its results checked. A string is returned as `{"text": …}`. An exception or a result of
        another type is raised as a `TransformFailedError`.

    Raises:
        RecipeError: if its module cannot be imported, it is not callable, or its code has changed since it was located.
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
