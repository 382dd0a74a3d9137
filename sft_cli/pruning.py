"""`sft prune`: remove what is no longer needed from the state directory."""

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from sft_cli.options import Debug, Json
from sft_cli.printing import print_table, size
from sft_cli.session import session

if TYPE_CHECKING:
    from flows.prune_home import Pruned

SHOWN = 40
"""Number of folders in the table, the largest first."""


def prune(
    keep_days: Annotated[
        float, typer.Option("--keep-days", min=0, help="Keep what was made or used in the last N days.")
    ] = 14.0,
    keep_runs: Annotated[int, typer.Option("--keep-runs", min=0, help="Keep what the newest N runs made.")] = 5,
    is_confirmed: Annotated[
        bool, typer.Option("--yes", help="Remove it; without this option it is only shown.")
    ] = False,
    is_json: Json = False,
    is_debugging: Debug = False,
) -> None:
    """Show what is no longer needed in the state directory and, with --yes, remove it."""
    with session(is_json, is_debugging) as current:
        current.start_prefect()
        from flows.prune_home import prune_home

        done = prune_home(keep_days, keep_runs, not is_confirmed)
        show_pruned(current.console, done)
        current.emit(done.model_dump(mode="json"))


def show_pruned(console: Console, done: "Pruned") -> None:
    """Print what is removed, why the rest stays, and the total."""
    from sft_core.store.retention import FILES

    largest = sorted(done.going, key=lambda one: -one["bytes"])
    rows = [
        [one["path"], size(one["bytes"]), f"{(time.time() - one['used_at']) / 86_400:,.1f} days ago", one["why"]]
        for one in largest[:SHOWN]
    ]
    if rows:
        print_table(console, ["goes", "frees", "last used", "why"], rows)
    if len(largest) > SHOWN:
        console.print(f"… and {len(largest) - SHOWN:,} smaller ones")
    for reason, kept in done.kept.items():
        console.print(f"stays  {_counted(kept['folders'], kept['files'])}, {size(kept['bytes'])}: {reason}")
    for path in done.skipped:
        console.print(f"stayed {path}: a run started to use it in the meantime")
    verb = "would be freed; --yes removes it" if done.is_dry_run else "freed"
    files = sum(one["kind"] in FILES for one in done.going)
    console.print(f"{size(done.freed_bytes)} in {_counted(len(done.going) - files, files)} {verb}")


def _counted(folders: int, files: int) -> str:
    return f"{folders:,} folders" + (f" and {files:,} files" if files else "")
