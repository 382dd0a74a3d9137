"""Options of the command line: the overrides of a trial as `--set`, and the values to try."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from sft_core.errors import RecipeError
from sft_core.recipe.recipe_file import load_value
from sft_core.recipe.sweep.space import Overrides


def as_sets(overrides: Overrides) -> list[str]:
    """Return overrides in the form that `--set` takes; each value is read back unchanged."""
    return [f"{path}={_as_yaml(value)}" for path, value in overrides.items()]


def as_command(recipe: str, overrides: Sequence[str]) -> str:
    """Return the command that runs one trial by itself."""
    return shlex.join(["sft", "run", recipe, *(word for one in overrides for word in ("--set", one))])


def _as_yaml(value: Any) -> str:
    if isinstance(value, str) and _reads_as(value) == value:
        return value
    return _as_flow(value)


def _as_flow(value: Any) -> str:
    """Return a value as YAML in one line, with every string in quotes."""
    if isinstance(value, str):
        return yaml.safe_dump(value, default_style='"', width=math.inf).rstrip("\n")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_as_flow(key)}: {_as_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_flow, value)) + "]"
    return json.dumps(value)


def _reads_as(text: str) -> Any:
    try:
        return load_value(text)
    except RecipeError:
        return None


def parse_paths(options: Sequence[str], name: str, has_ranges: bool) -> dict[str, Any]:
    """Read options `path=a,b,c` and, if ranges are allowed, `path={low: a, high: b}`.

    Args:
        options: Values of the option, as on the command line.
        name: Name of the option, for error messages.
        has_ranges: True if ranges are allowed.

    Returns:
        Path → list of values, or the mapping of a range.

    Raises:
        RecipeError: if an option has neither form.
    """
    found: dict[str, Any] = {}
    for option in options:
        path, equals, text = option.partition("=")
        if not equals or not path:
            expected = "PATH=a,b,…" + (" or PATH={low: a, high: b}" if has_ranges else "")
            raise RecipeError(f"{name}: expected {expected}, found '{option}'")
        values = load_value(text if text.lstrip().startswith("[") else f"[{text}]")
        is_range = has_ranges and len(values) == 1 and isinstance(values[0], dict) and "low" in values[0]
        found[path.strip()] = values[0] if is_range else values
    return found
