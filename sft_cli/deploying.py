"""`sft deploy`: make or update everything in this checkout's catalogue on a Prefect server."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sft_cli.options import Debug, Json
from sft_cli.session import session
from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from deployments.deploying import Deployed


def deploy(
    checkout: Annotated[
        Path,
        typer.Argument(metavar="[CHECKOUT]", help="Folder with the code and recipes/ on the workers."),
    ] = Path(),
    is_pruning: Annotated[
        bool, typer.Option("--prune", help="Remove deployments that the catalogue no longer has.")
    ] = False,
    notify: Annotated[
        str | None,
        typer.Option(
            "--notify",
            metavar="TYPE/NAME",
            help="Block on the server (webhook/alerts, …) to notify of failed runs, refused models and new champions.",
        ),
    ] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Make or update pools, limits, deployments and schedules on the Prefect server that PREFECT_API_URL names."""
    with session(is_json, is_debugging) as current:
        if "PREFECT_API_URL" not in os.environ:
            raise RecipeError(
                "expected a Prefect server to deploy to, found none: set PREFECT_API_URL, for example to "
                "http://127.0.0.1:4200/api"
            )
        if not (checkout / "recipes").is_dir():
            raise RecipeError(f"expected a checkout with recipes/ at '{checkout}' ({checkout.absolute()}), found none")
        current.open_home()
        import deployments.deploying as deploying

        done = deploying.deploy(checkout, is_pruning, notify)
        _show(current.console, done, is_pruning)
        current.emit(
            {
                "deployments": done.deployments,
                "automations": done.automations,
                "removed" if is_pruning else "left": done.left,
            }
        )


def _show(console: Console, done: "Deployed", is_pruning: bool) -> None:
    for name in done.deployments:
        console.print(f"deployed   {name}")
    for name in done.automations:
        console.print(f"automation {name}")
    for name in done.left:
        words = "removed    " if is_pruning else "left       "
        hint = "" if is_pruning else " (no longer in the catalogue; --prune removes it)"
        console.print(f"{words}{name}{hint}")
