"""The schema of a deployment's parameters: what the form in the UI shows, and what the server lets through.

What this adds to the flow's own: inputs are filled with what the preset says, and a parameter that the flow does not
have is refused when a run is triggered, not when it starts.
"""

from typing import Any

from prefect import Flow


def form_schema(flow: "Flow[..., Any]", preset: dict[str, Any]) -> dict[str, Any]:
    """The schema, as JSON values.

    Args:
        flow: Whose parameters they are.
        preset: Content of a recipe; the defaults of what it says.
    """
    schema = flow.parameters.model_dump(exclude_unset=True)
    properties = {name: _without_none(field) for name, field in schema["properties"].items()}
    filled = {
        name: _filled(field, preset[name]) if preset.get(name) is not None else field
        for name, field in properties.items()
    }
    return {**schema, "properties": filled, "additionalProperties": False}


def _without_none(field: dict[str, Any]) -> dict[str, Any]:
    """Without a default of none, which would make none itself a wrong value."""
    return {key: value for key, value in field.items() if key != "default" or value is not None}


def _filled(field: dict[str, Any], value: Any) -> dict[str, Any]:
    """The form of a section gets its fields' defaults one by one; everything else its own."""
    if "properties" not in field or not isinstance(value, dict):
        return {**field, "default": value}
    inner = {
        name: _filled(one, value[name]) if value.get(name) is not None else one
        for name, one in field["properties"].items()
    }
    return {**field, "properties": inner}
