"""Where a recipe is trained: in this flow run, or in a run of a deployment, whose work pool has the GPUs."""

from flows.prepare_data import prepare_data
from flows.run_report import RunReport
from flows.sft import sft
from sft_core.recipe import Recipe


def run_sft(recipe: Recipe, train_on: str | None = None) -> RunReport:
    """Prepare the data here, then run the whole recipe, which finds its data prepared.

    Args:
        recipe: What is run.
        train_on: FLOW/DEPLOYMENT that runs it, whose worker shares this home; None: this process.
    """
    if train_on is None:
        return sft(recipe)
    prepare_data(recipe)
    raise NotImplementedError
