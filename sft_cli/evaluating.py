"""`sft evaluate`: any model on any held-out rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sft_cli.options import Debug, Json, Overrides
from sft_cli.printing import cell, heading, print_table
from sft_cli.session import session

if TYPE_CHECKING:
    from flows.reports.score_report import Comparison, ScoreReport

Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="FILE", help="Rows to measure on: a file, folder or glob. May be given again."),
]
RecipeOption = Annotated[
    Path | None, typer.Option("--recipe", metavar="RECIPE", help="Measure on the rows that this recipe holds out.")
]
Against = Annotated[
    str | None,
    typer.Option("--against", metavar="OTHER", help="Measure this model too, and show the gain of MODEL over it."),
]


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A folder, a run's id, models:/NAME@ALIAS or models:/NAME/VERSION.")
    ],
    data: Data = None,
    recipe: RecipeOption = None,
    against: Against = None,
    overrides: Overrides = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Measure any model on held-out rows, with its own tokenizer and chat template; nothing is trained."""
    with session(is_json, is_debugging) as current:
        from sft_core.recipe.held_out import held_out_recipe

        rows = held_out_recipe(model, data or [], recipe, overrides or [], current.notify)
        current.start_prefect(rows.runtime)
        from flows.score_model import compare_models, score_model

        if against is None:
            report = score_model(model, rows)
            show_scores(current.console, report)
            current.emit(report.model_dump(mode="json"))
        else:
            compared = compare_models(model, against, rows)
            show_gains(current.console, compared)
            current.emit(compared.model_dump(mode="json"))


def show_scores(console: Console, report: "ScoreReport") -> None:
    """Print scores with their intervals, and the places of the details."""
    from sft_core.inspection.run_pages import interval

    console.print(heading(f"\n{report.name}", f"  {report.model}"))
    rows = [[name, f"{value:.4f}", interval(report.intervals, name, ".4f")] for name, value in _scores(report)]
    print_table(console, ["score", "value", "95 % interval"], rows)
    _show_places(console, report)


def show_gains(console: Console, compared: "Comparison") -> None:
    """Print the scores of both models, and the gain with its interval."""
    model, against = compared.model, compared.against
    console.print(heading(f"\n{model.name}", f"  {model.model}, against {against.model}"))
    rows = []
    for name, value in _scores(model):
        before, gain = against.scorecard.get(name), compared.gains.get(name)
        cells = ["–", "–"] if gain is None else [f"{gain.value:+.4f}", f"{gain.low:+.4f} to {gain.high:+.4f}"]
        rows.append([name, cell(before, ".4f"), f"{value:.4f}", *cells])
    print_table(console, ["score", "against", "model", "gain", "95 % interval"], rows)
    if "eval_loss" in model.scorecard and "eval_loss" not in compared.gains:
        console.print("the models tokenize the rows differently: losses per token are not compared", style="dim")
    for report in (model, against):
        _show_places(console, report)


def _scores(report: "ScoreReport") -> list[tuple[str, float]]:
    return [(name, value) for name, value in report.scorecard.items() if not name.startswith("num_")]


def _show_places(console: Console, report: "ScoreReport") -> None:
    ledger = report.ledger
    console.print(
        f"rows      {ledger['rows_in']:,} in = {ledger['rows_held_out']:,} held out + {ledger['rows_trained']:,} not "
        f"held out + {ledger['rows_rejected']:,} rejected + {ledger['rows_left_out']:,} not selected; "
        f"{ledger['tokens_truncated']:,} tokens cut off"
    )
    console.print(f"samples   {report.samples}")
    console.print(f"by row    {report.scored_items}")
    console.print(f"MLflow    run {report.mlflow_run_id}")
