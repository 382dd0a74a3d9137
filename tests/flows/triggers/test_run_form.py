"""The form of a run, and what it makes of a preset."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.utilities.schema_tools.validation import is_valid_schema, validate

from deployments.forms import form_schema
from flows.run_recipe import run_recipe
from flows.triggers.run_form import form_of, lay_form, section_in
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import parse_recipe
from sft_core.section import Section

PRESET: dict[str, Any] = {
    "name": "sums",
    "model": {"path": "gpt2"},
    "sources": [{"path": "a.jsonl"}, {"path": "b.jsonl", "repeat": 2}],
    "tokens": {"max_length": 128},
    "training": {"learning_rate": 0.003, "max_steps": 6, "peft": {"r": 8, "lora_alpha": 16}},
    "evaluation": {"gen_kwargs": {"max_new_tokens": 4, "do_sample": False}},
    "registry": {"gate": {"metric": "exact_match", "direction": "maximize"}},
}
SCHEMA = form_schema(run_recipe, PRESET)


def fields(section: type[Section], path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a recipe by its dotted path, with its description."""
    for name, field in section.model_fields.items():
        inner = section_in(field.annotation)
        if inner:
            yield from fields(inner, f"{path}{name}.")
        else:
            yield f"{path}{name}", field


def input_at(path: str) -> dict[str, Any]:
    found: dict[str, Any] = SCHEMA
    for part in path.split("."):
        found = found.get("items", found)["properties"][part]
    return found


def all_below(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for value in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from all_below(value)


@pytest.mark.parametrize("path", [path for path, _ in fields(Recipe)])
def test_every_field_of_a_recipe_has_an_input_with_its_name_and_its_words(path: str) -> None:
    found, field = input_at(path), dict(fields(Recipe))[path]
    assert found["title"] == path.split(".")[-1]
    assert found["description"].startswith(" ".join(field.description.split()))


def test_inputs_have_bounds_choices_and_the_recipes_default_in_words() -> None:
    assert input_at("training.learning_rate") == {
        "type": "number",
        "minimum": 0,
        "default": 0.003,
        "title": "learning_rate",
        "description": "Peak learning rate (TRL's default). Training from scratch needs a higher one, for example "
        "1e-3. Default: `2e-05`.",
    }
    assert input_at("registry.gate.direction")["enum"] == ["minimize", "maximize", None]
    assert input_at("sources.fraction")["maximum"] == 1
    assert input_at("training.logging_steps")["type"] == "number"
    assert input_at("training.optim")["enum"][:2] == ["adamw_torch", "adamw_torch_fused"]


def test_yes_or_no_has_a_third_position() -> None:
    """Prefect draws a switch for `type: boolean`, and posts false for each that nobody has touched."""
    inputs = [one for schema in all_below(SCHEMA) for one in schema.get("properties", {}).values()]
    assert [one for one in inputs if one.get("type") == "boolean"] == []
    assert input_at("training.bf16")["enum"] == [True, False, None]


def test_the_form_has_no_input_that_prefect_draws_badly() -> None:
    for schema in all_below(SCHEMA):
        assert not {"oneOf", "allOf", "$ref"} & schema.keys()
        assert {"type": "null"} not in schema.get("anyOf", [])
    assert sorted(SCHEMA["properties"], key=lambda name: SCHEMA["properties"][name]["position"])[1:-1] == list(
        Recipe.model_fields
    )
    is_valid_schema(SCHEMA)


def test_nothing_is_required_but_the_preset_and_what_makes_an_item() -> None:
    assert SCHEMA["required"] == ["preset"]
    assert [schema["required"] for schema in all_below(SCHEMA) if schema.get("required")] == [["preset"], ["path"]]


def test_none_for_inputs_without_a_preset_is_accepted_and_changes_nothing() -> None:
    posted: dict[str, Any] = {"preset": "recipes/x.yaml"}
    for path, _ in fields(Recipe):
        found = input_at(path)
        if "default" in found or path in KNOWS_NONE or path == OF_TWO_KINDS or path.startswith("sources."):
            continue
        *sections, name = path.split(".")
        here = posted
        for section in sections:
            here = here.setdefault(section, {})
        here[name] = None
    assert len(posted["training"]) > 70
    validate(posted, SCHEMA, raise_on_error=True)
    del posted["preset"]
    assert parse_recipe(lay_form(PRESET, posted), "x") == parse_recipe(PRESET, "x")


OF_TWO_KINDS = "training.optim_target_modules"
KNOWS_NONE = {
    "training.save_total_limit",
    "registry.gate.confidence",
    "tokens.max_length",
    "tokens.max_length_with_images",
}
"""Where none is a value of its own and not the default."""


@pytest.mark.parametrize(
    ("form", "path", "expected"),
    [
        ({"training": {"learning_rate": 1e-4}}, "training.learning_rate", 1e-4),
        ({"training": {"learning_rate": 1e-4}}, "training.max_steps", 6),
        ({"training": {"peft": {"r": 4}}}, "training.peft", {"r": 4, "lora_alpha": 16}),
        (
            {"evaluation": {"gen_kwargs": {"top_k": 5}}},
            "evaluation.gen_kwargs",
            {"max_new_tokens": 4, "do_sample": False, "top_k": 5},
        ),
        ({"registry": {"gate": {"threshold": 0.5}}}, "registry.gate.metric", "exact_match"),
        ({"sources": [{"path": "c.jsonl", "seed": None}]}, "sources", [{"path": "c.jsonl"}]),
        ({"tokens": {"max_length": None}}, "tokens.max_length", None),
        ({"training": {"max_steps": None}, "tokens": None}, "training.max_steps", 6),
        ({"chat": {"assistant_only_loss": True}}, "chat", {"assistant_only_loss": True}),
        ({"name": "other"}, "name", "other"),
    ],
)
def test_what_is_filled_in_lies_over_the_preset(form: dict[str, Any], path: str, expected: Any) -> None:
    laid: Any = lay_form(PRESET, form)
    for part in path.split("."):
        laid = laid[part]
    assert laid == expected


def test_laying_a_form_over_a_preset_leaves_the_preset_alone() -> None:
    before = repr(PRESET)
    lay_form(PRESET, {"training": {"peft": {"r": 4}}, "sources": [{"path": "c.jsonl"}]})
    assert repr(PRESET) == before


def test_the_form_of_a_section_without_a_preset_has_no_defaults() -> None:
    assert all("default" not in schema for schema in all_below(form_of("training")))
