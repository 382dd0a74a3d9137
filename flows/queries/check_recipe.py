"""Check of a recipe before it runs: its data, the formats of its sources, sample rows, and the forecast of a run."""

from dataclasses import dataclass

from flows.preparation import PreparedData, prepare
from flows.queries.choose_rows import rows_of_sources
from flows.queries.forecast_run import check_training, forecast_run
from flows.queries.open_data import open_prepared
from sft_core.data.formats import describe_verdict
from sft_core.inspection import RowTable, RowView, figures_of
from sft_core.recipe import Recipe
from sft_core.recipe.forecast import Forecast


@dataclass(frozen=True, slots=True)
class CheckedRecipe:
    """Result of a check."""

    data: PreparedData
    """The prepared data, with its ledger of rows and tokens."""
    formats: dict[str, str]
    """Source → its detected formats in words, and the number of its rejected rows."""
    rows: dict[str, list[RowView]]
    """Source → its first rows, token by token."""
    forecast: Forecast
    """Steps, tokens, memory and disk space that the training will need."""


def check_recipe(recipe: Recipe, rows_each: int) -> CheckedRecipe:
    """Check that a recipe can be trained here, prepare its data, and forecast its training.

    Args:
        recipe: The recipe to check.
        rows_each: Number of sample rows of each source.

    Raises:
        UserError: if something would stop the run, such as a missing input or a gate that fails.
    """
    check_training(recipe)
    data = prepare(recipe)
    opened = open_prepared(recipe, data)
    table = RowTable.read(opened.lineage)
    sources = figures_of(opened.lineage, table).sources
    return CheckedRecipe(
        data=data,
        formats={one.name: describe_verdict(data.verdicts[one.name], one.rows_rejected) for one in sources},
        rows=rows_of_sources(opened, table, rows_each),
        forecast=forecast_run(recipe, data),
    )
