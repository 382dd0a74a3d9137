"""A function of the user's that turns one row into another, or leaves it out by returning None."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sft_core.fingerprint import digest_file
from sft_core.records import TransformRef

Fields = dict[str, Any]
Transform = Callable[[Fields], Fields | None]


class TransformFailedError(Exception):
    """A transform does not work for one row; the message is a reason that many rows can share."""


def locate_transform(text: str) -> TransformRef:
    """Find a function, given as `path/to/file.py:function`."""
    path, _, function = text.rpartition(":")
    file = Path(path).absolute()
    return TransformRef(name=f"{file.stem}.{function}", folder=str(file.parent), content_digest=digest_file(file))


def load_transform(ref: TransformRef) -> Transform:
    """Import the function; a string that it returns comes out as the column `text`."""
    module_name, _, function_name = ref.name.rpartition(".")
    spec = importlib.util.spec_from_file_location(module_name, Path(ref.folder) / f"{module_name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return _checked(getattr(module, function_name))


def _checked(function: Callable[[Fields], Any]) -> Transform:
    def transform(row: Fields) -> Fields | None:
        try:
            result = function(row)
        except Exception as error:
            raise TransformFailedError(f"the transform failed: {type(error).__name__}") from error
        return {"text": result} if isinstance(result, str) else result

    return transform
