"""Names of flow runs, made from their parameters. Prefect calls these functions when a run begins."""

from pathlib import Path

from prefect.runtime import flow_run

from flows.triggers.run_form import lay_form
from sft_core.errors import RecipeError
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import parse_recipe, read_content
from sft_core.recipe.run_names import comparison_name, run_name, score_name


def of_recipe() -> str:
    """Name the run of a flow that takes a recipe."""
    return run_name(flow_run.parameters["recipe"])


def of_form() -> str:
    """Name the run of a flow that takes a recipe file and changed fields; by the file's path if they are not valid."""
    preset = flow_run.parameters["preset"]
    filled = {name: flow_run.parameters.get(name) for name in Recipe.model_fields}
    try:
        content = read_content(Path(preset), [], lambda _: None)
        return run_name(parse_recipe(lay_form(content, filled), preset))
    except RecipeError:  # the run itself reports the error
        return str(preset)


def of_evaluation() -> str:
    """Name the run of a flow that takes a model and held-out rows."""
    return score_name(flow_run.parameters["model"], flow_run.parameters["recipe"])


def of_comparison() -> str:
    """Name the run of a flow that takes two models and held-out rows."""
    return comparison_name(flow_run.parameters["model"], flow_run.parameters["against"], flow_run.parameters["recipe"])
