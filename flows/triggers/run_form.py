"""The form of a run: every section of a recipe, with every field optional; its values replace those of a preset.

    preset   training: {learning_rate: 3e-3, max_steps: 500}     recipe on disk
    form     training: {learning_rate: 1e-3}                     what was filled in
    recipe   training: {learning_rate: 1e-3, max_steps: 500}

Mappings are merged key by key, at any depth; everything else, also lists such as `sources`, is replaced as a whole.
Prefect shows the form, and its server checks the types of the values before a run exists. Whether the fields fit
together is checked by the recipe, after the form was merged with the preset.
"""

import functools
import json
import typing
from collections.abc import Mapping
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from sft_core.recipe import Recipe
from sft_core.section import Section

NULL = {"type": "null"}


class FormOf:
    """Annotation that gives a flow's parameter the form of one recipe field; the recipe checks the values later."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return form_of(self._name)


def form_of(name: str) -> dict[str, Any]:
    """Return the JSON schema of a recipe's field, as a form that may be left empty.

    Titles are the names of the fields in YAML. Descriptions are those of the fields, with the default of the recipe.
    Only fields inside the items of a list can be required. There are no defaults, and no choice between a value and
    null: an empty input counts as null.
    """
    whole = _recipe_schema()
    return _form(whole["properties"][name], whole["$defs"], Recipe.model_fields[name], name)


@functools.cache
def _recipe_schema() -> dict[str, Any]:
    return Recipe.model_json_schema()


def lay_form(content: Mapping[str, Any], form: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the values of a form into the content of a preset, and return the result.

    Args:
        content: Content of the recipe file.
        form: Field of the recipe → value from the form. None is a value only for fields that allow it; for other
            fields it is an input that was left empty.
    """
    return _lay(content, _without_empty(Recipe, form))


def _lay(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    laid = dict(below)
    for key, value in above.items():
        under = laid.get(key)
        laid[key] = _lay(under, value) if isinstance(under, Mapping) and isinstance(value, Mapping) else value
    return laid


def _without_empty(section: type[Section], values: Mapping[str, Any]) -> dict[str, Any]:
    filled: dict[str, Any] = {}
    for name, value in values.items():
        field = section.model_fields.get(name)
        inner = section_in(field.annotation) if field else None
        if value is None:
            if field is None or type(None) in typing.get_args(field.annotation):
                filled[name] = value
        elif inner and isinstance(value, Mapping):
            filled[name] = _without_empty(inner, value)
        elif inner and isinstance(value, list):
            filled[name] = [_without_empty(inner, item) if isinstance(item, Mapping) else item for item in value]
        else:
            filled[name] = value
    return filled


def section_in(annotation: Any) -> type[Section] | None:
    """Return the section class that a field holds, alone or in a list; None if it holds no section."""
    candidates = [annotation, *typing.get_args(annotation)]
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, Section)), None)


def _form(schema: dict[str, Any], known: dict[str, Any], field: FieldInfo, name: str) -> dict[str, Any]:
    """Return the form of one field: its type with bounds and choices, a title and a description."""
    kind = _one_kind(_resolved(schema, known))
    inner = section_in(field.annotation)
    shape = {key: value for key, value in kind.items() if key not in ("title", "description", "default", "required")}
    if inner and "items" in shape:
        shape["items"] = _section_form(_resolved(shape["items"], known), known, inner, is_item=True)
    elif inner:
        shape = _section_form(kind, known, inner)
    text = field.description or (inner.__doc__ if inner else None) or ""
    return {**shape, "title": name, "description": " ".join(text.split()) + _default_in_words(field, inner)}


def _section_form(
    schema: dict[str, Any], known: dict[str, Any], section: type[Section], is_item: bool = False
) -> dict[str, Any]:
    fields = {
        name: _form(schema["properties"][name], known, field, name) for name, field in section.model_fields.items()
    }
    form = {"type": "object", "properties": fields, "additionalProperties": False}
    needed = [name for name, field in section.model_fields.items() if field.is_required()]
    return {**form, "title": section.__name__, "required": needed} if is_item else form


def _resolved(schema: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    return known[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def _one_kind(schema: dict[str, Any]) -> dict[str, Any]:
    """Simplify a choice between types: drop null, merge integers into numbers, and replace a single type by itself."""
    branches = [_one_kind(branch) for branch in schema.get("anyOf", []) if branch != NULL]
    if {branch.get("type") for branch in branches} == {"integer", "number"}:
        branches = [branch for branch in branches if branch["type"] == "number"]
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if not branches:
        return _one_choice(rest)
    if len(branches) == 1:
        return {**rest, **branches[0]}
    return {**rest, "anyOf": sorted(branches, key=lambda branch: "enum" in branch)}  # the first is shown, and empty


def _one_choice(schema: dict[str, Any]) -> dict[str, Any]:
    """Turn a boolean into a choice, and allow null in every choice.

    Prefect shows a boolean as a switch, which has no third position and would set every untouched field to false. The
    null among the choices is not shown; it lets an empty input pass.
    """
    choices = [True, False] if schema.get("type") == "boolean" else schema.get("enum")
    if choices is None:
        return schema
    return {**{key: value for key, value in schema.items() if key != "type"}, "enum": [*choices, None]}


def _default_in_words(field: FieldInfo, inner: type[Section] | None) -> str:
    if inner or field.is_required() or field.default is None:
        return ""
    return f" Default: `{json.dumps(field.default)}`."
