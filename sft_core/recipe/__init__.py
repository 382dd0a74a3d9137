"""The recipe that a user writes: its file, its checks, forecasts of time and memory, and sweeps.

    recipe = load_recipe("recipes/quickstart.yaml", {"training.learning_rate": "3e-4"})
    recipe.training.learning_rate     # → 0.0003; an unknown key is an error with a suggestion

These invariants hold. The recipe is the only configuration; it forbids unknown keys and is frozen. Everything external
that it names (files, models, functions) is found and digested before the first stage (`inputs`). The sections are
defined in the packages that use them; this package only combines them.
"""

from sft_core.recipe.recipe import Recipe

__all__ = ["Recipe"]
