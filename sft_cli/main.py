"""The commands: init, run, plan, prepare, check, show, trace, evaluate, find, promote, rollback, prune, sweep, retrain,
diff, deploy, up, status, down, chat.

Exit codes: 0 success; 2 an error in recipe or data, reported in a line or two; 1 an internal failure; 75 the trainer
was asked to end or MLflow does not answer, and running the same command again resumes; 130 interrupted; 143 terminated.
"""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_cli import deploying, evaluating, find, planning, promoting, pruning, retraining, stack, sweeping
from sft_cli.chat import chat
from sft_cli.options import Debug, Json, Overrides, RecipePath
from sft_cli.session import Session, session
from sft_core.processes.garbage import collect_rarely

if TYPE_CHECKING:
    from flows.queries.open_data import OpenData

app = typer.Typer(
    name="sft",
    help="Supervised fine-tuning: one recipe in, one evaluated, registered and traceable model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(find.app, name="find")

Labels = Annotated[bool, typer.Option("--labels", help="Write TRL's `labels` instead of `loss_mask`.")]
Target = Annotated[
    Path,
    typer.Argument(metavar="RECIPE|FOLDER", help="A recipe's YAML file, or the folder of a data set or training run."),
]
RowName = Annotated[
    str | None, typer.Option("--row", metavar="SOURCE:ROW", help="This row of a source (rows count from 0).")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only show what would be done, like `sft plan`.")]
AcceptCode = Annotated[
    list[str] | None,
    typer.Option(
        "--accept-code",
        metavar="STAGE",
        help="Reuse a stage's artifacts from earlier code, if a check shows that the present code gives the same.",
    ),
]
Rows = Annotated[int, typer.Option("--rows", min=0, help="Number of sample rows to show of each source.")]


@app.command()
def init(
    folder: Annotated[
        Path, typer.Argument(metavar="[FOLDER]", help="Folder in which the recipe will be run.")
    ] = Path(),
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Copy the quickstart recipe and its data to recipes/ of a folder; files that exist are kept."""
    with session(is_json, is_debugging) as current:
        from sft import quickstart

        recipe = quickstart(folder)
        current.notify(f"run it from {folder.resolve()} with: sft run {recipe.relative_to(folder)}")
        current.emit({"recipe": str(recipe)})


@app.command()
def run(
    recipe: RecipePath,
    overrides: Overrides = None,
    is_dry: DryRun = False,
    accepted: AcceptCode = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Run the whole pipeline: prepare, train, evaluate, register. Stages whose inputs did not change are reused."""
    accepting = [f"runtime.accept_code=[{', '.join(accepted)}]"] if accepted else []
    with session(is_json, is_debugging) as current:
        parsed = current.read(recipe, [*(overrides or []), *accepting])
        if is_dry:
            planning.show_plan(current, parsed)
            return
        current.prepare(parsed)
        from flows.sft import sft
        from sft_cli.summary import show_run

        report = sft(parsed)
        show_run(current.console, report, parsed.runtime.home_folder(os.environ))
        current.emit(report.model_dump(mode="json"))


@app.command()
def prepare(
    recipe: RecipePath,
    overrides: Overrides = None,
    labels: Labels = False,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Prepare the data only: read, detect, render, tokenize, pack."""
    with session(is_json, is_debugging) as current:
        parsed = current.read(recipe, [*(overrides or []), *(["packing.target_column=labels"] if labels else [])])
        current.prepare(parsed)
        from flows.prepare_data import prepare_data
        from sft_cli.summary import show_data

        data = prepare_data(parsed)
        show_data(current.console, data)
        current.emit(data.as_result())


@app.command()
def check(
    recipe: RecipePath, overrides: Overrides = None, rows: Rows = 2, is_json: Json = False, is_debugging: Debug = False
) -> None:
    """Validate a recipe and show its data: the format of each source, sample rows with ⟦trained⟧ text, the counts, and
    the steps, memory and disk that training will need.

    Prepares the data; a later run reuses it.
    """
    with session(is_json, is_debugging) as current:
        parsed = current.read(recipe, overrides)
        current.check_inputs(parsed)
        from flows.queries.check_recipe import check_recipe
        from sft_cli.outlook import as_result, show_forecast
        from sft_cli.rows import show_sources
        from sft_cli.summary import show_data

        checked = check_recipe(parsed, rows)
        console = current.console
        show_sources(console, checked.formats, checked.rows)
        console.print()
        show_data(console, checked.data)
        show_forecast(console, checked.forecast, parsed.runtime.home_folder(os.environ))
        current.emit({**checked.data.as_result(), "forecast": as_result(checked.forecast)})


@app.command()
def show(
    target: Target,
    overrides: Overrides = None,
    row: RowName = None,
    rows: Annotated[int, typer.Option("--rows", min=1, help="How many rows to show.")] = 3,
    is_worst: Annotated[
        bool,
        typer.Option("--worst", help="The rows to check first: most tokens cut off, fewest trained tokens, longest."),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Another seed shows other rows.")] = 0,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Show prepared rows token by token: trained tokens, context, and tokens that were cut off.

    If the argument is a recipe, its data is prepared first.
    """
    with session(is_json, is_debugging) as current:
        from flows.queries.choose_rows import choose_rows
        from sft_cli.rows import show_rows

        data = _open(current, target, overrides)
        views = choose_rows(data, row, rows, is_worst, seed)
        show_rows(current.console, views)
        current.emit({"rows": [dataclasses.asdict(view) for view in views]})


@app.command()
def trace(
    target: Target,
    overrides: Overrides = None,
    block: Annotated[int | None, typer.Option("--block", min=0, help="The source lines in this block.")] = None,
    split: Annotated[str, typer.Option("--split", help="Split of --block: train or eval.")] = "train",
    step: Annotated[int | None, typer.Option("--step", min=1, help="The source lines this step trains on.")] = None,
    row: RowName = None,
    line: Annotated[
        str | None, typer.Option("--line", metavar="FILE:LINE", help="Trace the row on this line (from 1).")
    ] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Show the source lines in a block or a training step, or trace a source row through all stages."""
    with session(is_json, is_debugging) as current:
        from sft_cli.tracing import Question, answer

        question = Question(block, split, step, row, line)
        data = _open(current, target, overrides)
        current.emit(answer(current.console, data, question))


app.command()(planning.plan)
app.command()(promoting.promote)
app.command()(promoting.rollback)
app.command()(pruning.prune)
app.command()(evaluating.evaluate)
app.command()(sweeping.sweep)
app.command()(retraining.retrain)
app.command()(retraining.diff)
app.command()(deploying.deploy)
app.command()(chat)
app.command()(stack.up)
app.command()(stack.status)
app.command()(stack.down)


def _open(current: Session, target: Path, overrides: list[str] | None) -> "OpenData":
    """Open the data of a folder without preparing anything, or prepare and open the data of a recipe."""
    if target.is_dir():
        from flows.queries.open_data import open_folder

        return open_folder(target)
    parsed = current.read(target, overrides)
    current.check_inputs(parsed)
    from flows.queries.open_data import open_recipe

    return open_recipe(parsed)


def main() -> None:
    """Run the console script."""
    collect_rarely()
    app()


if __name__ == "__main__":
    main()
