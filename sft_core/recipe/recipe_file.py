"""Read a recipe from YAML, apply dotted overrides to it, and report every mistake in it clearly."""

import re
import types
import typing
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sft_core.errors import RecipeError, did_you_mean
from sft_core.recipe import Recipe
from sft_core.recipe.aliases import notice_of, our_path, resolve_aliases
from sft_core.recipe.counterparts import counterpart
from sft_core.section import Section

AnySection = TypeVar("AnySection", bound=Section)


class _Loader(yaml.SafeLoader):
    """YAML loader that reads `1e-4` as a number and rejects duplicate keys."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _mapping_without_doubles(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
    for key in keys:
        if [other.value for other in keys].count(key.value) > 1:
            raise RecipeError(f"line {key.start_mark.line + 1}: the key '{key.value}' occurs twice")
    loader.flatten_mapping(node)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping_without_doubles)


def load_recipe(path: Path, overrides: Sequence[str] = (), notify: Callable[[str], None] = warnings.warn) -> Recipe:
    """Read a recipe file.

    Args:
        path: The YAML file.
        overrides: `dotted.path=value` each, for example `training.learning_rate=1e-4` or `sources.0.path=x.jsonl`; the
            value is YAML.
        notify: Called with a line for each alias of TRL, transformers or trlX that was accepted.

    Raises:
        RecipeError: if the recipe is invalid; the message names file, key, what was expected and what was found.
    """
    return parse_recipe(read_content(path, overrides, notify), str(path))


def read_content(path: Path, overrides: Sequence[str], notify: Callable[[str], None]) -> dict[str, Any]:
    """Read a recipe's content, with aliases resolved and overrides applied, but without checking it.

    Arguments and errors are those of `load_recipe`.
    """
    content = read_mapping(path, "sections (model, sources, …)")
    try:
        notices = resolve_aliases(content)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    for override in overrides:
        notices += lay_over(content, override)
    for notice in dict.fromkeys(notices):
        notify(f"{path}: {notice}")
    return content


def read_mapping(path: Path, expected: str) -> dict[str, Any]:
    """Read a mapping from a YAML file. `1e-4` is read as a number, and a duplicate key is an error.

    Args:
        path: The file.
        expected: Expected content, for error messages.

    Raises:
        RecipeError: if the file does not exist, is not YAML, or is not a mapping.
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
        raise RecipeError(f"{path}: expected {expected}, found {type(content).__name__}")
    return content


def parse_recipe(content: dict[str, Any], where: str) -> Recipe:
    """Check a recipe's content.

    Raises:
        RecipeError: if the content is invalid; the message has one line per mistake.
    """
    return parse_as(Recipe, content, where)


def parse_as(kind: type[AnySection], content: dict[str, Any], where: str) -> AnySection:
    """Check the content of a recipe or of another section against its class; see `parse_recipe`."""
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        mistakes = [dict(mistake) for mistake in error.errors()]
        lines = [_explain(mistake) for mistake in mistakes if not _follows_from_another(mistake, mistakes)]
        raise RecipeError("\n".join(f"{where}: {line}" for line in dict.fromkeys(lines))) from error


def lay_over(content: dict[str, Any], override: str) -> list[str]:
    """Set one dotted path in plain YAML content, in place. Missing sections are created.

    Args:
        content: The content of the recipe.
        override: `dotted.path=value`; the value is YAML.

    Returns:
        A notice if the path is an alias; otherwise an empty list.

    Raises:
        RecipeError: if the override is malformed, or its path leads into a value that is not a section.
    """
    written, equals, text = override.partition("=")
    path = our_path(written.strip())
    keys = path.split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set: expected dotted.path=value, found '{override}'")
    try:
        value = load_value(text)
    except RecipeError as error:
        raise RecipeError(f"--set {path}: {error}") from error
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
    return [] if path == written.strip() else [notice_of(written.strip(), content)]


def load_value(text: str) -> Any:
    """Read one value as it would be read from a recipe file.

    Raises:
        RecipeError: if the text is not YAML.
    """
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise RecipeError(f"expected a YAML value, found '{text}'") from error


def _step_into_list(items: list[Any], key: str, value: Any, is_last: bool, path: str) -> Any:
    """Return the list item at a position; the position after the last item appends one. Set it if `is_last`."""
    if not key.isdecimal() or int(key) > len(items):
        raise RecipeError(f"--set {path}: expected a position from 0 to {len(items)}, found '{key}'")
    if int(key) == len(items):
        items.append({})
    if is_last:
        items[int(key)] = value
    return items[int(key)]


def _follows_from_another(mistake: dict[str, Any], mistakes: Sequence[dict[str, Any]]) -> bool:
    """Return True if a list is reported as too short only because one of its items is invalid."""
    place = mistake["loc"]
    return mistake["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in mistakes
    )


def _explain(mistake: dict[str, Any]) -> str:
    """Describe one mistake in a line: its path, what was expected, what was found, and what was probably meant."""
    where = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return _explain_key(mistake["loc"], mistake["input"])
    if mistake["type"] == "missing":
        return f"{where}: expected a value, found none"
    message = str(mistake["msg"]).removeprefix("Value error, ")
    if mistake["type"] == "value_error":
        return f"{where}: {message}" if where else message
    return f"{where}: {message[0].lower()}{message[1:]}; found {mistake['input']!r}{_closest_choice(mistake)}"


def _closest_choice(mistake: dict[str, Any]) -> str:
    """Return a suggestion if one of the allowed names is similar to the given one; otherwise an empty string."""
    if mistake["type"] != "literal_error":
        return ""
    choices = re.findall("'([^']+)'", mistake["ctx"]["expected"])
    return did_you_mean(mistake["input"], choices, "")


def _explain_key(location: Sequence[str | int], value: Any) -> str:
    """Describe an unknown key: why it cannot be set, the recipe's name for it, or what was probably meant."""
    *parents, wrong = location
    where, section = ".".join(str(part) for part in location), _section_at(parents)
    refused = getattr(section, "refused", {})
    if wrong in refused:
        return f"{where}: not set in a recipe: {refused[wrong]}"
    if section is not None and not _elsewhere(str(wrong)):
        foreign = [(path, hint) for path in (where, *_paths_below(where, value)) if (hint := counterpart(path))]
        if foreign:
            return "; ".join(f"{path}: {hint}" for path, hint in foreign)
    return f"{where}: unknown key{_meant(section, str(wrong))}"


def _paths_below(where: str, value: Any) -> list[str]:
    return [f"{where}.{key}" for key in value] if isinstance(value, dict) else []


def _elsewhere(wrong: str) -> list[str]:
    """Return the dotted paths of fields with this name in all sections."""
    return [f"{name}.{wrong}" for name, field in Recipe.model_fields.items() if wrong in _fields_of(field.annotation)]


def _meant(section: type[BaseModel] | None, wrong: str) -> str:
    if section is None:
        return ""
    elsewhere = _elsewhere(wrong)  # the exact name of a field, but in the wrong section
    return f"; did you mean '{elsewhere[0]}'?" if elsewhere else did_you_mean(wrong, section.model_fields)


def _section_at(location: Sequence[str | int]) -> type[BaseModel] | None:
    """Return the section at a location in the recipe; None if there is no such section."""
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
    """Return the section inside a type such as `tuple[SourceSpec, ...]`; None if there is no section in it."""
    if (
        isinstance(annotation, type)
        and not isinstance(annotation, types.GenericAlias)
        and issubclass(annotation, BaseModel)
    ):
        return annotation
    return next((model for item in typing.get_args(annotation) if (model := _model_in(item))), None)
