"""`sft sweep`: run one recipe in several trials."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sft_cli.options import Debug, Json, Overrides, RecipePath
from sft_cli.printing import cell, print_table
from sft_cli.session import session
from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from flows.reports.sweep_report import SweepReport
    from flows.triggers.trials import Trial

Grid = Annotated[
    list[str] | None,
    typer.Option("--grid", metavar="PATH=A,B,…", help="Try these values of a field, in every combination."),
]
Random = Annotated[
    list[str] | None,
    typer.Option("--random", metavar="PATH=…", help="Draw from values `a,b`, or a range `{low: 1e-5, high: 1e-3}`."),
]
Optuna = Annotated[
    list[str] | None,
    typer.Option("--optuna", metavar="PATH=…", help="The same, but Optuna suggests values from the scores so far."),
]
TrainOn = Annotated[
    str | None,
    typer.Option(
        "--train-on", metavar="FLOW/DEPLOYMENT", help="Train with this deployment instead of in this process."
    ),
]


def sweep(
    recipe: RecipePath,
    grid: Grid = None,
    random: Random = None,
    optuna: Optuna = None,
    trials: Annotated[int, typer.Option("--trials", min=1, help="Number of draws of --random and --optuna.")] = 10,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the draws.")] = 0,
    metric: Annotated[
        str | None, typer.Option("--metric", help="Metric of the scorecard to compare by; default: the gate's metric.")
    ] = None,
    is_most: Annotated[
        bool | None,
        typer.Option("--max/--min", help="Prefer the highest or lowest value; by default derived from the metric."),
    ] = None,
    train_on: TrainOn = None,
    max_parallel: Annotated[int, typer.Option("--max-parallel", min=1, help="Trials at once, with --train-on.")] = 1,
    overrides: Overrides = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Run a recipe in several trials, report the best one, and let the gate judge it."""
    with session(is_json, is_debugging) as current:
        from sft_core.recipe.recipe_file import parse_as
        from sft_core.recipe.sweep.options import parse_paths
        from sft_core.recipe.sweep.space import Space, corners_of
        from sft_core.recipe.sweep.trials import Base, check_trials

        asked = {"--grid": grid, "--random": random, "--optuna": optuna}
        tried = {name[2:]: parse_paths(given, name, name != "--grid") for name, given in asked.items() if given}
        if not tried:
            raise RecipeError("expected values to try: --grid, --random or --optuna, each with PATH=…")
        space = parse_as(Space, {**tried, "num_trials": trials, "seed": seed}, "sft sweep")
        base = Base.read(str(recipe), overrides or [], current.notify)
        parsed = check_trials(base, corners_of(space)[:1], current.check_inputs)
        current.start_prefect(parsed[0].runtime)
        from flows.sweep import sweep as run_sweep

        report = run_sweep(
            str(Path(recipe)),
            overrides,
            **tried,
            num_trials=trials,
            seed=seed,
            metric=metric or "",
            direction=None if is_most is None else "maximize" if is_most else "minimize",
            max_parallel=max_parallel,
            train_on=train_on or "",
        )
        show_sweep(current.console, report)
        current.emit(report.model_dump(mode="json"))


def show_sweep(console: Console, report: "SweepReport") -> None:
    """Print the trials in order, and the best one."""
    columns = ["", "trial", report.metric, "95 % interval", "seconds", "run", "overrides"]
    is_best = [trial.number == report.best.number for trial in report.trials]
    print_table(console, columns, list(map(_cells, report.trials, is_best)), bold_row=is_best.index(True))
    for trial in report.trials:
        if trial.error:
            console.print(f"trial {trial.number} failed: {trial.error}", style="dim")
    champion = "champion" if report.is_champion else "not champion"
    console.print(f"\nbest      {report.best.model_uri}, {champion}: {report.verdict}")
    console.print(f"again     {report.command}")
    console.print(f"table     {report.table}")


def _cells(trial: "Trial", is_best: bool) -> list[str]:
    from sft_core.recipe.sweep.options import as_sets

    interval = "–" if trial.low is None or trial.high is None else f"{trial.low:.4g} to {trial.high:.4g}"
    return [
        "best" if is_best else "",
        str(trial.number),
        "failed" if trial.score is None else f"{trial.score:.4g}",
        interval,
        cell(trial.seconds, ".1f"),
        (trial.mlflow_run_id or "–")[:8],
        " ".join(as_sets(trial.overrides)),
    ]
