"""Base class of all sections of a recipe."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Part of the recipe. It is frozen, and it forbids unknown keys, so that a misspelt key is an error and never a
    silent default. Infinity and NaN are rejected, because no field has a meaning for them."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
