"""A function of the user's that turns one row into another, or leaves it out."""

import importlib
import sys
from collections.abc import Callable
from typing import Any

from sft_core.records import TransformRef

RowTransform = Callable[[dict[str, Any]], dict[str, Any] | str | None]


def load_transform(ref: TransformRef) -> RowTransform:
    """Import the function that a reference names."""
    module, _, function = ref.name.rpartition(".")
    if ref.folder not in sys.path:
        sys.path.insert(0, ref.folder)
    transform: RowTransform = getattr(importlib.import_module(module), function)
    return transform
