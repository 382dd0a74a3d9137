"""The recipe that a user writes: its file, its checks, forecasts of time and memory, and sweeps.

    recipe = load_recipe("recipes/quickstart.yaml", {"training.learning_rate": "3e-4"})
    recipe.training.learning_rate     # → 0.0003; an unknown key is an error with a suggestion

What always holds: a recipe is the only configuration, it is closed and frozen, and what it names outside of itself
(files, models, functions) is found and digested before the first stage (`inputs`). The sections are defined in the
rooms that use them; this room only puts them together.
"""

from sft_core.recipe.recipe import Recipe

__all__ = ["Recipe"]
