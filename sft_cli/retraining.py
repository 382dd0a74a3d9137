"""`sft retrain` and `sft diff`: show what changed, and train again if the change counts."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer
from rich.console import Console

from sft_cli.options import Debug, Json, Overrides, RecipePath
from sft_cli.printing import cell, print_table
from sft_cli.session import session
from sft_cli.sweeping import TrainOn
from sft_core.errors import RecipeError

if TYPE_CHECKING:
    from flows.reports.retrain_report import Retrained

KINDS = ("data", "recipe", "code")
COUNTS = ("same", "moved", "changed", "added", "removed")
Folder = Annotated[Path, typer.Argument(help="Folder of a data set, or of a training or an evaluation made from it.")]


def retrain(
    recipe: RecipePath,
    on: Annotated[
        list[str] | None,
        typer.Option(
            "--on", metavar="KIND", help="What counts as a change: data, recipe or code. Default: data and recipe."
        ),
    ] = None,
    is_dry_run: Annotated[bool, typer.Option("--dry-run", help="Prepare and compare, but do not train.")] = False,
    train_on: TrainOn = None,
    overrides: Overrides = None,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Run a recipe if its data or the recipe changed since its newest finished run; show what changed."""
    with session(is_json, is_debugging) as current:
        kinds = tuple(on or KINDS[:2])
        if not set(kinds) <= set(KINDS):
            raise RecipeError(f"--on: expected some of {', '.join(KINDS)}, found '{' '.join(kinds)}'")
        current.prepare(current.read(recipe, overrides))
        from flows.retrain_on_change import retrain_on_change

        state = retrain_on_change(str(recipe), overrides, kinds, is_dry_run, train_on or "", return_state=True)
        found = cast("Retrained", state.result())
        console = current.console
        console.print(found.message, style="bold")
        for line in found.changes:
            console.print(f"  {line}")
        for line in found.ignored:
            console.print(f"  {line} (does not count)", style="dim")
        if found.difference is not None:
            show_difference(console, found.difference)
        current.emit(found.model_dump(mode="json"))


def diff(before: Folder, after: Folder, is_json: Json = False, is_debugging: Debug = False) -> None:
    """Compare two prepared data sets: rows by content, splits, lengths, formats, rejections. Nothing is written."""
    with session(is_json, is_debugging) as current:
        from sft_core.inspection import find_dataset, lineage_of
        from sft_core.inspection.data_difference import difference_of

        lineages = [lineage_of(*find_dataset(folder)[:2]) for folder in (before, after)]
        found = {"by_row": True, **difference_of(*lineages).as_json()}
        show_difference(current.console, found)
        current.emit(found)


def show_difference(console: Console, found: Mapping[str, Any]) -> None:
    """Print `data_difference.json`, without the numbers that are equal."""
    if not found["by_row"]:
        console.print(f"rows cannot be compared: {found['why']}", style="dim")
    else:
        names = ("source", "before", "after", *COUNTS)
        rows = [_cells(name, *one["rows"], *(one[kind] for kind in COUNTS)) for name, one in found["sources"].items()]
        print_table(console, names, rows)
        for name, one in found["sources"].items():
            for kind, places in one["examples"].items():
                console.print(f"  {name}, {kind}: {', '.join(places)}", style="dim")
    pairs = {(split, name): pair for split, facts in found["splits"].items() for name, pair in facts.items()}
    for split, (before, after) in found.get("lengths", {}).items():
        pairs |= {
            (split, f"row tokens, {name}"): ((before or {}).get(name), (after or {}).get(name))
            for name in (after or before)
        }
    for kind in ("formats", "rejected"):
        pairs |= {(kind, name): pair for name, pair in found.get(kind, {}).items()}
    unequal = [_cells(*names, before, after) for names, (before, after) in pairs.items() if before != after]
    if unequal:
        console.print()
        print_table(console, ("", "", "before", "after"), unequal)
    console.print("the same tokens in the same order" if found["is_same"] else "not the same tokens")


def _cells(*values: Any) -> list[str]:
    return [_cell(value) for value in values]


def _cell(value: Any) -> str:
    return cell(value, ",.4g" if isinstance(value, float) else "," if isinstance(value, int) else "")
