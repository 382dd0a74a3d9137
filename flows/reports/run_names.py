"""Names of flow runs, from their parameters; Prefect calls these as a run begins."""

from pathlib import Path

from prefect.runtime import flow_run

from flows.triggers.run_form import lay_form
from sft_core.errors import RecipeError
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import parse_recipe, read_content
from sft_core.recipe.run_names import comparison_name, run_name, score_name


def of_recipe() -> str:
    """Of a flow that takes a recipe."""
    return run_name(flow_run.parameters["recipe"])


def of_form() -> str:
    """Of a flow that takes a recipe file and fields to lay over it; the file's name where that makes no recipe."""
    preset = flow_run.parameters["preset"]
    filled = {name: flow_run.parameters.get(name) for name in Recipe.model_fields}
    try:
        content = read_content(Path(preset), [], lambda _: None)
        return run_name(parse_recipe(lay_form(content, filled), preset))
    except RecipeError:  # told by the run itself
        return str(preset)


def of_evaluation() -> str:
    """Of a flow that takes a model and held-out rows."""
    return score_name(flow_run.parameters["model"], flow_run.parameters["recipe"])


def of_comparison() -> str:
    """Of a flow that takes two models and held-out rows."""
    return comparison_name(flow_run.parameters["model"], flow_run.parameters["against"], flow_run.parameters["recipe"])
