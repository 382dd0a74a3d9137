"""From a recipe to a registered model."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft._environment import start_flow

if TYPE_CHECKING:
    from flows.preparation import PreparedData
    from flows.queries.check_recipe import CheckedRecipe
    from flows.reports.run_report import RunReport
    from sft_core.recipe import Recipe
    from tasks.stages.planning import StagePlan


def load_recipe(path: Path | str, overrides: Mapping[str, Any] | None = None) -> "Recipe":
    """Read a recipe file.

        >>> recipe = sft.load_recipe(sft.quickstart(), {"training.max_steps": 20, "tokens.max_length": 64})
        >>> recipe.training.max_steps
        20

    Args:
        path: The YAML file.
        overrides: Dotted path → value, like `--set` on the command line. `sources.0.path` is a field of the first
            source.

    Returns:
        The recipe, which is frozen: load it again to change a field.

    Raises:
        UserError: if the recipe is invalid; the message has a line for each mistake, with a suggestion.
    """
    from sft_core.recipe.recipe_file import load_recipe as load
    from sft_core.recipe.sweep.options import as_sets

    return load(Path(path), as_sets(dict(overrides or {})))


def plan(recipe: "Recipe") -> "list[StagePlan]":
    """Return what a run would do, stage by stage, without running it (`sft plan`).

        >>> recipe = sft.load_recipe(sft.quickstart(), {"training.max_steps": 20})
        >>> [one.stage for one in sft.plan(recipe) if one.state == "run"]
        ['ingest_sources']

    Raises:
        UserError: if something would stop the run, such as a missing input.
    """
    from deployments.stack.embedded import open_home

    open_home(recipe.runtime)
    from flows.queries.plan_run import plan_run

    return plan_run(recipe)


def check(recipe: "Recipe", rows: int = 2) -> "CheckedRecipe":
    """Check a recipe and prepare its data (`sft check`): formats, sample rows, and what the training will need.

        >>> recipe = sft.load_recipe(sft.quickstart(), {"training.max_steps": 20})
        >>> checked = sft.check(recipe)
        >>> checked.formats
        {'chats': '2,880 rows are messages (conversational language modelling: `messages`; recognized by `messages`)'}
        >>> checked.forecast.steps, checked.forecast.num_parameters
        (20, 553088)

    Args:
        recipe: The recipe to check.
        rows: Number of sample rows of each source.

    Returns:
        An object with `data` (as of `prepare`), `formats`, `rows` (as of `show`) and `forecast`.

    Raises:
        UserError: if something would stop the run, such as a missing input or a gate that fails.
    """
    from deployments.stack.embedded import check_inputs

    check_inputs(recipe)
    from flows.queries.check_recipe import check_recipe

    return check_recipe(recipe, rows)


def prepare(recipe: "Recipe") -> "PreparedData":
    """Prepare the data of a recipe, as a flow run in Prefect (`sft prepare`).

        >>> recipe = sft.load_recipe(sft.quickstart(), {"training.max_steps": 20})
        >>> data = sft.prepare(recipe)
        >>> data.splits["train"]["rows"], data.splits["eval"]["rows"]
        (2577, 303)

    Returns:
        An object with `folder`, `report` (an HTML page), `splits`, `ledger`, and `stages` (executed or cached).

    Raises:
        UserError: if an input is missing, a source cannot be read, or a gate fails.
    """
    start_flow(recipe)
    from flows.prepare_data import prepare_data

    return prepare_data(recipe)


def run(recipe: "Recipe") -> "RunReport":
    """Run the whole pipeline: prepare, train, evaluate, register (`sft run`).

        >>> recipe = sft.load_recipe(sft.quickstart(), {"training.max_steps": 20})
        >>> report = sft.run(recipe)
        >>> report.model_uri, report.training["global_step"]
        ('models:/quickstart/1', 20)

    If it is interrupted, the same call resumes: finished stages are reused, and the training continues from its last
    checkpoint.

    Returns:
        An object with `scorecard`, `intervals`, `model_uri`, `model_dir`, `is_champion`, `verdict`, `mlflow_run_id`,
        `report` (an HTML page of the data), `ledger`, and `stages` (executed or cached).

    Raises:
        UserError: if the recipe asks for something that does not exist, or a gate fails.
    """
    start_flow(recipe)
    from flows.sft import sft

    return sft(recipe)
