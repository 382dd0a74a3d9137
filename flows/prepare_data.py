"""The preparation of data as a Prefect flow."""

from prefect import flow

from flows.preparation import PreparedData, prepare
from flows.reports.pages import show_data
from flows.reports.run_names import of_recipe
from sft_core.recipe import Recipe


@flow(name="prepare-data", flow_run_name=of_recipe)
def prepare_data(recipe: Recipe) -> PreparedData:
    """Read, understand, render, tokenize and pack the sources of a recipe, doing again only what changed."""
    return prepare(recipe, show_data)
