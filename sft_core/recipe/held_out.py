"""Held-out rows for any model: a recipe of which the held-out split alone counts, read with the model's own tokenizer.

a recipe         its sources of `split: eval`; where it has none, the rows that `formats.eval_fraction` holds out
a file of rows   all of them
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from sft_core.data.chat import has_template
from sft_core.data.sources import SourceSpec
from sft_core.errors import RecipeError
from sft_core.pretrained.model import ModelConfig
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import lay_over, parse_as, read_content


class HeldOutRecipe(Recipe):
    """Which rows a model is measured on, and how; `model` and `training` say nothing here."""

    needed_split: ClassVar[Literal["train", "eval"]] = "eval"
    idle_sections: ClassVar[frozenset[str]] = frozenset({"training", "registry"})

    def for_model(self, folder: Path) -> Self:
        """The same rows, as a model reads them: with its tokenizer and, where it has one, its chat template.

        Args:
            folder: The model's.

        Raises:
            RecipeError: if the recipe holds no rows out.
        """
        held_out = tuple(source for source in self.sources if source.split == "eval")
        if not held_out and not self.formats.eval_fraction:
            raise RecipeError(
                f"recipe '{self.name}': expected held-out rows, found none; give a source `split: eval`, or set "
                "formats.eval_fraction"
            )
        chat = self.chat.model_copy(update={"chat_template_path": None}) if has_template(folder) else self.chat
        return self.model_copy(
            update={
                "model": ModelConfig(path=str(folder)),
                "sources": held_out or self.sources,
                "chat": chat,
                "evaluation": self.evaluation.model_copy(update={"baseline": False}),
            }
        )


def held_out_recipe(
    model: str,
    data: Sequence[str],
    recipe: Path | None,
    overrides: Sequence[str],
    notify: Callable[[str], None],
) -> HeldOutRecipe:
    """Make one of what the command line says.

    Args:
        model: Whose it is to be, for the recipe's name alone.
        data: Files of rows that are all held out, as `sources.path` takes them; or
        recipe: A recipe's file.
        overrides: `dotted.path=value` each.
        notify: Gets a line for each name that was understood though it is not ours.

    Raises:
        RecipeError: if there are both or neither, or something is wrong in them.
    """
    if bool(data) == (recipe is not None):
        found = "both" if data else "neither"
        raise RecipeError(f"expected held-out rows by either --data FILE or --recipe RECIPE, found {found}")
    if recipe is not None:
        return parse_as(HeldOutRecipe, read_content(recipe, overrides, notify), str(recipe))
    sources: list[dict[str, Any]] = [{"path": path, "split": "eval"} for path in data]
    content: dict[str, Any] = {
        "name": SourceSpec(path=data[0]).source_name,
        "model": {"path": model},
        "sources": sources,
        "tokens": {"max_length": None},  # nothing is cut off that a model could read
    }
    for override in overrides:
        for notice in lay_over(content, override):
            notify(notice)
    return parse_as(HeldOutRecipe, content, "--data")
