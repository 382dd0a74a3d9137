"""`sft promote` and `sft rollback`: set the champion of a registered model."""

from pathlib import Path
from typing import Annotated

import typer

from sft_cli.options import Debug, Json
from sft_cli.session import Session, session


def promote(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="NAME/VERSION, NAME@ALIAS, NAME (newest), or a run.")],
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="RECIPE", help="Judge by this recipe's gate instead of the model's own."),
    ] = None,
    force: Annotated[
        str | None,
        typer.Option(
            "--force", metavar="REASON", help="Make it champion whatever the gate says; the reason is recorded."
        ),
    ] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Judge a registered version by the gate, and make it champion if it passes."""
    with session(is_json, is_debugging) as current:
        gate, runtime = None, None
        if recipe is not None:
            parsed = current.read(recipe)
            gate, runtime = parsed.registry.gate, parsed.runtime
        current.start_prefect(runtime)
        from flows.promote_model import promote_model

        done = promote_model(model, gate, force, runtime)
        _show(current, f"{done.model_uri}  {done.verdict}", done.aliases)
        current.emit(done.model_dump(mode="json"))


def rollback(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The registered model.")],
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="REASON", help="Reason, recorded with both versions.")
    ] = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Make the version that was champion before the present one champion again."""
    with session(is_json, is_debugging) as current:
        current.start_prefect()
        from flows.roll_back_model import roll_back_model

        done = roll_back_model(name, reason)
        text = f"{done.model_uri} is champion again, instead of version {done.taken_back}"
        _show(current, text, done.aliases)
        current.emit(done.model_dump(mode="json"))


def _show(current: Session, text: str, aliases: dict[str, str]) -> None:
    current.console.print(text)
    current.console.print(
        "  " + ", ".join(f"{alias} = version {version}" for alias, version in sorted(aliases.items()))
    )
