"""The preparation of data as a Prefect flow."""

from prefect import flow

from flows.preparation import PreparedData, prepare
from flows.reports.pages import show_data
from flows.reports.run_names import of_recipe
from sft_core.recipe import Recipe


@flow(name="prepare-data", flow_run_name=of_recipe)
def prepare_data(recipe: Recipe) -> PreparedData:
    """Prepare the data of a recipe: read its sources, render chats, tokenize, and pack the tokens into blocks.

    Stages whose inputs did not change are reused. The page `data-report` shows the result.

    Args:
        recipe: The recipe whose data is prepared.
    """
    return prepare(recipe, show_data)
