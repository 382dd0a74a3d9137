"""Recipes of the trials of a sweep."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sft_core.errors import RecipeError, UserError
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import lay_over, parse_recipe, read_content
from sft_core.recipe.sweep.options import as_sets
from sft_core.recipe.sweep.space import Overrides


@dataclass(frozen=True, slots=True)
class Base:
    """Content of the recipe that trials are derived from. It is not checked, as it may be incomplete without a trial's
    values."""

    content: dict[str, Any]
    where: str
    """File of the recipe, for error messages."""

    @classmethod
    def read(cls, preset: str, overrides: Sequence[str], notify: Callable[[str], None]) -> Self:
        """Read a recipe file.

        Args:
            preset: The file.
            overrides: `dotted.path=value` each, for all trials.
            notify: Called with a line for each alias of TRL, transformers or trlX that was accepted.
        """
        return cls(read_content(Path(preset), overrides, notify), preset)

    def whole(self, trial: Recipe) -> Recipe:
        """Return the recipe without a trial's values; if it is invalid without them, return the given trial."""
        try:
            return self.trial({})
        except RecipeError:
            return trial

    def trial(self, overrides: Overrides, *more: str) -> Recipe:
        """Return the recipe of one trial.

        Raises:
            RecipeError: if the recipe is invalid.
        """
        content = copy.deepcopy(self.content)
        for override in (*as_sets(overrides), *more):
            lay_over(content, override)
        return parse_recipe(content, self.where)


def check_trials(base: Base, trials: Sequence[Overrides], check: Callable[[Recipe], Any]) -> list[Recipe]:
    """Create and check the recipes of all trials.

    Args:
        base: The recipe that trials are derived from.
        trials: Overrides of each trial.
        check: Called with each recipe; raises a `UserError` if something that the recipe needs is missing.

    Raises:
        RecipeError: if a trial's recipe is invalid or cannot be run; the message has the mistakes of all such trials.
    """
    recipes, mistakes = [], []
    for number, overrides in enumerate(trials, 1):
        try:
            recipe = base.trial(overrides)
            check(recipe)
            recipes.append(recipe)
        except UserError as error:
            which = f"trial {number} ({', '.join(as_sets(overrides))})"
            mistakes += [f"{which}: {line}" for line in str(error).splitlines()]
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return recipes
