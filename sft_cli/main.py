"""The verbs: run, prepare, check.

Exit codes: 0 success, 2 a mistake in recipe or data (told in a line or two), 1 a failure of ours, 130 interrupted,
143 terminated.
"""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from sft_cli.session import session
from sft_core.recipe_file import load_recipe

app = typer.Typer(
    name="sft",
    help="Supervised fine-tuning: one recipe in, one evaluated, registered and traceable model out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

RecipePath = Annotated[Path, typer.Argument(metavar="RECIPE", help="The recipe's YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Override a field, e.g. training.learning_rate=1e-4 or sources.0.path=x.jsonl.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object as the last line on stdout, and nothing else there.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show logs and tracebacks.")]
Labels = Annotated[bool, typer.Option("--labels", help="Write TRL's `labels` instead of `loss_mask`.")]
Rows = Annotated[int, typer.Option("--rows", min=0, help="Sample rows to show of each source.")]


@app.command()
def run(recipe: RecipePath, overrides: Overrides = None, is_json: Json = False, is_debugging: Debug = False) -> None:
    """Run the whole pipeline: prepare, train, evaluate, register. Stages whose inputs did not change are reused."""
    with session(is_json, is_debugging) as current:
        parsed = load_recipe(recipe, overrides or [])
        current.prepare(parsed)
        from flows.sft import sft
        from sft_cli.summary import show_run

        report = sft(parsed)
        show_run(Console(soft_wrap=True, highlight=False), report, parsed.runtime.home_folder(os.environ))
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
        parsed = load_recipe(recipe, [*(overrides or []), *(["packing.target_column=labels"] if labels else [])])
        current.prepare(parsed)
        from flows.prepare_data import prepare_data
        from sft_cli.summary import show_data

        data = prepare_data(parsed)
        show_data(Console(soft_wrap=True, highlight=False), data)
        current.emit(data.as_result())


@app.command()
def check(
    recipe: RecipePath, overrides: Overrides = None, rows: Rows = 2, is_json: Json = False, is_debugging: Debug = False
) -> None:
    """Validate a recipe and show its data: the format of each source, sample rows with ⟦trained⟧ text, and the counts.

    Prepares the data, so that a later run finds it done.
    """
    with session(is_json, is_debugging) as current:
        parsed = load_recipe(recipe, overrides or [])
        current.prepare(parsed)
        from flows.prepare_data import prepare_data
        from flows.preview_data import preview_data
        from sft_cli.summary import show_data, show_source

        data = prepare_data(parsed)
        console = Console(soft_wrap=True, highlight=False)
        for source in preview_data(parsed, data, rows):
            show_source(console, source.name, source.verdict, source.rows_rejected, source.rows)
        console.print()
        show_data(console, data)
        current.emit(data.as_result())


def main() -> None:
    """The console script's entry."""
    app()


if __name__ == "__main__":
    main()
