"""`sft find`: from a model back to its sources, and from a file or a line to the models that saw it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sft_cli.options import Debug, Json
from sft_cli.session import Session, session
from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from rich.console import Console

    from tasks.tracking.lookup.history import History

app = typer.Typer(
    help="Find models, runs and data by their records in MLflow: from a model back to a source line, and from a line "
    "to the models that saw it.",
    no_args_is_help=True,
)

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, its first digits, or models:/NAME@ALIAS.")]


@app.command()
def best(
    metric: Annotated[str, typer.Option("--metric", help="A metric of the scorecard.")],
    data: Annotated[
        str | None, typer.Option("--data", metavar="DIGEST", help="Digest of the held-out data, or its first digits.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Only versions of this registered model.")] = None,
    is_most: Annotated[
        bool | None,
        typer.Option("--max/--min", help="Rank by highest or lowest value; by default derived from the metric's name."),
    ] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """List the best models by a metric on the same held-out data; without --data, list the data sets with results."""
    with _asked(is_json, is_debugging) as (current, history, console):
        from sft_cli.finding import show_best, show_data_sets
        from sft_core.registry.promotion import less_is_better
        from tasks.tracking.lookup.models import choose_data, measured_by

        found = measured_by(history, metric, name, less_is_better(metric) if is_most is None else not is_most)
        if data is None:
            show_data_sets(console, metric, found)
            sets = {digest: [asdict(model) for model in models] for digest, models in found.items()}
            current.emit({"metric": metric, "data_sets": sets})
        else:
            digest = choose_data(found, data)
            show_best(console, metric, digest, found[digest])
            models = [asdict(model) for model in found[digest]]
            current.emit({"metric": metric, "data": digest, "models": models})


@app.command()
def runs(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE|NAME]", help="A recipe's YAML file, or its name; by default all.")
    ] = None,
    status: Annotated[
        str | None, typer.Option("--status", help="running, scheduled, finished, failed or killed.")
    ] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """List all runs of a recipe, the newest first."""
    with _asked(is_json, is_debugging) as (current, history, console):
        from sft_cli.finding import show_runs
        from tasks.tracking.lookup.history import runs_of
        from tasks.tracking.tags import RECIPE_DIGEST

        parsed, digest = None, None
        if recipe and Path(recipe).is_file():
            from tasks.tracking.lineage import recipe_digest

            parsed = current.read(Path(recipe))
            digest = recipe_digest(parsed)
        found = runs_of(history, parsed.name if parsed else recipe, status)
        same = [digest is not None and run.tags.get(RECIPE_DIGEST) == digest for run in found]
        show_runs(console, found, same)
        listed = [{**run.summary, "is_same_recipe": is_same} for run, is_same in zip(found, same, strict=True)]
        current.emit({"runs": listed})


@app.command()
def origin(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="models:/NAME@ALIAS, models:/NAME/VERSION, a model's or a run's id.")
    ],
    is_whole_recipe: Annotated[bool, typer.Option("--recipe", help="Print the recipe, and nothing else.")] = False,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Show what a model was made from: recipe, code, data, source files and base model; and its scores."""
    with _asked(is_json, is_debugging) as (current, history, console):
        from sft_cli.finding import show_origin
        from tasks.tracking.lookup.models import origin_of

        found = origin_of(history, model)
        if is_whole_recipe and found.recipe is None:
            raise RecipeError(
                f"recipe.yaml of run {found.run.run_id}: expected it in MLflow's artifacts, could not read it"
            )
        if is_whole_recipe:
            console.out(found.recipe, end="", highlight=False)
        else:
            show_origin(console, found)
        current.emit(found.as_result())


@app.command()
def file(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A file, at any place.")],
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """List the runs that read a file with this content, wherever the file was then."""
    with _asked(is_json, is_debugging) as (current, history, console):
        from sft_cli.finding import show_uses
        from tasks.tracking.lookup.sources import digest_of, uses_of

        digest = digest_of(history, path)
        uses = uses_of(history, digest, path)
        show_uses(console, path, digest, uses)
        listed = [{**asdict(use), "run": use.run.summary} for use in uses]
        current.emit({"digest": digest, "uses": listed})


@app.command()
def row(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FILE:LINE|SOURCE:ROW",
            help="A line (from 1) of a file, at any place; or with --run, a row (from 0) of a source.",
        ),
    ],
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="The run that SOURCE:ROW refers to.")] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """List the runs and models that saw a source line: trained on, held out, rejected or not selected, and where."""
    with _asked(is_json, is_debugging) as (current, history, console):
        from flows.queries.choose_rows import parse_name
        from flows.queries.find_row import find_line, find_row
        from sft_cli.finding import show_rows_seen

        before, number = parse_name("sft find row", name)
        if run is None:
            seen = find_line(history, Path(before), number)
        else:
            seen = find_row(history, history.run(run), before, number)
        show_rows_seen(console, name, seen)
        current.emit({"seen": [one.as_result() for one in seen]})


@app.command()
def difference(first: Run, second: Run, is_json: Json = False, is_debugging: Debug = False) -> None:
    """Compare two runs: recipe, data, code, environment; and their scores side by side."""
    with _asked(is_json, is_debugging) as (current, history, console):
        from sft_cli.finding import show_difference
        from tasks.tracking.lookup.difference import difference_of

        found = difference_of(history, history.run(first), history.run(second))
        show_difference(console, found)
        current.emit(found.as_result())


@contextmanager
def _asked(is_json: bool, is_debugging: bool) -> Iterator[tuple[Session, "History", "Console"]]:
    with session(is_json, is_debugging) as current:
        home = current.open_home()
        from tasks.tracking.lean import without_pandas

        with without_pandas():
            from tasks.tracking.lookup.history import open_history

        yield current, open_history(home), current.console
