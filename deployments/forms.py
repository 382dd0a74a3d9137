"""Schema of a deployment's parameters, from which the UI builds the form and against which the server validates.

It differs from the flow's own schema in two ways: inputs are filled with the values of the preset, and a parameter that
the flow does not have is rejected when a run is triggered, not when it starts.
"""

from typing import Any

from prefect import Flow


def form_schema(flow: "Flow[..., Any]", preset: dict[str, Any]) -> dict[str, Any]:
    """Return the schema as JSON values.

    Args:
        flow: The flow with the parameters.
        preset: Content of a recipe, which provides the defaults.
    """
    schema = flow.parameters.model_dump(exclude_unset=True)
    properties = {name: _without_none(field) for name, field in schema["properties"].items()}
    filled = {
        name: _filled(field, preset[name]) if preset.get(name) is not None else field
        for name, field in properties.items()
    }
    return {**schema, "properties": filled, "additionalProperties": False}


def _without_none(field: dict[str, Any]) -> dict[str, Any]:
    """Remove a default of None, with which Prefect would reject None as a value."""
    return {key: value for key, value in field.items() if key != "default" or value is not None}


def _filled(field: dict[str, Any], value: Any) -> dict[str, Any]:
    """Set the default of a field; for a section, set the defaults of its fields one by one."""
    if "properties" not in field or not isinstance(value, dict):
        return {**field, "default": value}
    inner = {
        name: _filled(one, value[name]) if value.get(name) is not None else one
        for name, one in field["properties"].items()
    }
    return {**field, "properties": inner}
