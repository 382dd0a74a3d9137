"""The one kind of object that a recipe is made of."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the recipe: frozen, and closed, so that a misspelt key is an error and never a silent default. Numbers
    are finite: no field means anything with another."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )
