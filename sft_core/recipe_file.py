"""Read a recipe from YAML, lay dotted overrides over it, and say clearly what is wrong with it."""

import difflib
import re
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from sft_core.errors import RecipeError
from sft_core.recipe import Recipe


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: `1e-4` is a number, and a key that stands twice is an error."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _mapping_without_doubles(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    for key in keys:
        if [other.value for other in keys].count(key.value) > 1:
            raise RecipeError(f"line {key.start_mark.line + 1}: the key '{key.value}' stands twice")
    loader.flatten_mapping(node)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_doubles)


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe file.

    Args:
        path: The YAML file.
        overrides: `dotted.path=value` each, for example `training.learning_rate=1e-4` or `sources.0.path=x.jsonl`; the
            value is YAML.

    Raises:
        RecipeError: naming file, key, what was expected and what was found.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError as error:
        raise RecipeError(f"expected a recipe at '{path}', found no such file ({path.absolute()})") from error
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise RecipeError(f"{path}: expected YAML, found: {' '.join(str(error).split())}") from error
    except RecipeError as error:
        raise RecipeError(f"{path}, {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path}: expected sections (model, sources, …), found {type(content).__name__}")
    for override in overrides:
        _lay_over(content, override)
    return parse_recipe(content, str(path))


def parse_recipe(content: dict[str, Any], where: str) -> Recipe:
    """Check a recipe's content.

    Raises:
        RecipeError: with one line per mistake.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        mistakes = [dict(mistake) for mistake in error.errors()]
        lines = [_explain(mistake) for mistake in mistakes if not _follows_from_another(mistake, mistakes)]
        raise RecipeError("\n".join(f"{where}: {line}" for line in dict.fromkeys(lines))) from error


def _lay_over(content: dict[str, Any], override: str) -> None:
    """Set one dotted path in plain YAML content; sections that are not there yet are made."""
    path, equals, text = override.partition("=")
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set: expected dotted.path=value, found '{override}'")
    try:
        value = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {path}: expected a YAML value, found '{text}'") from error
    here: Any = content
    for depth, key in enumerate(keys):
        is_last = depth == len(keys) - 1
        if isinstance(here, list):
            here = _step_into_list(here, key, value, is_last, ".".join(keys[: depth + 1]))
        elif isinstance(here, dict):
            if is_last:
                here[key] = value
            elif here.get(key) is None:
                here[key] = {}
            here = here[key]
        else:
            raise RecipeError(f"--set {path}: '{'.'.join(keys[:depth])}' is a value, not a section")


def _step_into_list(items: list[Any], key: str, value: Any, is_last: bool, path: str) -> Any:
    """Walk to an item by its position; the position after the last one adds an item."""
    if not key.isdecimal() or int(key) > len(items):
        raise RecipeError(f"--set {path}: expected a position from 0 to {len(items)}, found '{key}'")
    if int(key) == len(items):
        items.append({})
    if is_last:
        items[int(key)] = value
    return items[int(key)]


def _follows_from_another(mistake: dict[str, Any], mistakes: Sequence[dict[str, Any]]) -> bool:
    """Whether a list is said to be too short only because an item of it is wrong."""
    place = mistake["loc"]
    return mistake["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in mistakes
    )


def _explain(mistake: dict[str, Any]) -> str:
    """Say one mistake in a line: where, what was expected, what was found, what was perhaps meant."""
    where = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"{where}: unknown key{_did_you_mean(mistake['loc'])}"
    if mistake["type"] == "missing":
        return f"{where}: expected a value, found none"
    message = str(mistake["msg"]).removeprefix("Value error, ")
    if mistake["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: {message[0].lower()}{message[1:]}; found {mistake['input']!r}"


def _did_you_mean(location: Sequence[str | int]) -> str:
    *parents, wrong = location
    section = _section_at(parents)
    if section is None:
        return ""
    known = list(section.model_fields)
    close = difflib.get_close_matches(str(wrong), known, n=1, cutoff=0.5)
    elsewhere = [
        f"{name}.{wrong}" for name, field in Recipe.model_fields.items() if wrong in _fields_of(field.annotation)
    ]
    if elsewhere:  # the exact name of a field: the right word in the wrong place
        return f"; did you mean '{elsewhere[0]}'?"
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known here: {', '.join(known)}"


def _section_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    """Follow a location through the recipe's types."""
    section: type[BaseModel] | None = Recipe
    for part in location:
        if isinstance(part, int):
            continue
        if section is None or part not in section.model_fields:
            return None
        section = _model_in(section.model_fields[part].annotation)
    return section


def _fields_of(annotation: Any) -> Sequence[str]:
    model = _model_in(annotation)
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section inside a type such as `tuple[SourceSpec, ...]`."""
    if (
        isinstance(annotation, type)
        and not isinstance(annotation, types.GenericAlias)
        and issubclass(annotation, BaseModel)
    ):
        return annotation
    return next((model for item in typing.get_args(annotation) if (model := _model_in(item))), None)
