"""Write `docs/recipe.md` from the recipe's own fields: `python docs/make_recipe_reference.py`.

A test compares the page with the output of this script, so that the two cannot drift apart.
"""

import types
import typing
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from sft_core.recipe import Recipe
from sft_core.section import Section

PAGE = Path(__file__).parent / "recipe.md"
HEAD = """# Recipe reference

Written by `python docs/make_recipe_reference.py` from the fields themselves; change them there. A recipe is a YAML
file with these sections. Every field can be overridden on the command line: `--set training.learning_rate=1e-4
--set sources.0.path=x.jsonl`. An unknown key is an error that suggests the closest known key.
"""


def recipe_reference() -> str:
    """Return the whole page."""
    parts = [HEAD]
    for name, field in Recipe.model_fields.items():
        section = _section_of(field.annotation)
        if section is None:
            parts.append(f"## `{name}`\n\n{_one_line(field.description)}\n")
        else:
            listed = " (a list)" if typing.get_origin(field.annotation) is tuple else ""
            parts.append(f"## `{name}`{listed}\n\n{_one_line(section.__doc__)}\n\n{_table(section)}\n")
    return "\n".join(parts)


def _table(section: type[Section], prefix: str = "") -> str:
    lines = [] if prefix else ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in section.model_fields.items():
        inner = _section_of(field.annotation)
        if inner is not None:
            lines.append(_table(inner, f"{prefix}{name}."))
            continue
        cells = (f"`{prefix}{name}`", _type_text(field.annotation), _default_text(field), _one_line(field.description))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines)


def _section_of(annotation: Any) -> type[Section] | None:
    candidates = [annotation, *typing.get_args(annotation)]
    return next((item for item in candidates if isinstance(item, type) and issubclass(item, Section)), None)


def _type_text(annotation: Any) -> str:
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in typing.get_args(annotation))
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type_text(item) for item in typing.get_args(annotation))
    if annotation is type(None):
        return "none"
    return f"`{annotation.__name__ if isinstance(annotation, type) and origin is None else annotation}`".replace(
        "typing.", ""
    )


def _default_text(field: FieldInfo) -> str:
    return "required" if field.default is PydanticUndefined else f"`{field.default!r}`"


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())


if __name__ == "__main__":
    PAGE.write_text(recipe_reference(), encoding="utf-8")
