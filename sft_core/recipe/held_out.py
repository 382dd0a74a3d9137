"""Held-out rows for evaluating any model: a recipe of which only the held-out split is used, with the model's own
tokenizer.

given            held-out rows
a recipe         its sources with `split: eval`; without any, the rows that `formats.eval_fraction` holds out
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
    """Recipe of an evaluation: the held-out rows and how a model is measured on them; `model` and `training` have no
    effect."""

    needed_split: ClassVar[Literal["train", "eval"]] = "eval"
    idle_sections: ClassVar[frozenset[str]] = frozenset({"training", "registry"})

    def for_model(self, folder: Path) -> Self:
        """Return the recipe for a model, with the model's tokenizer and, if it has one, its chat template.

        Args:
            folder: The model's folder.

        Raises:
            RecipeError: if the recipe has no held-out rows.
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
    """Create a held-out recipe from the options of the command line: either `data` or `recipe`.

    Args:
        model: Model to evaluate; with `data` it becomes `model.path`, until `for_model` replaces that.
        data: Files of rows that are all held out, as `sources.path` takes them.
        recipe: A recipe file.
        overrides: `dotted.path=value` each.
        notify: Called with a line for each alias of TRL, transformers or trlX that was accepted.

    Raises:
        RecipeError: if both `data` and `recipe` are given or neither is, or if one of them is invalid.
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
        "tokens": {"max_length": None},  # rows are not truncated
    }
    for override in overrides:
        for notice in lay_over(content, override):
            notify(notice)
    return parse_as(HeldOutRecipe, content, "--data")
