"""`sft plan`: what a run would do, without doing it."""

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from sft_cli.options import Debug, Json, Overrides, RecipePath
from sft_cli.session import Session, session
from sft_core.pace import in_words

if TYPE_CHECKING:
    from sft_core.recipe import Recipe
    from tasks.planning import StagePlan

CHANGES_SHOWN = 6


def plan(recipe: RecipePath, overrides: Overrides = None, is_json: Json = False, is_debugging: Debug = False) -> None:
    """Say what a run would do, without doing it: which stages are reused, which would run, what changed, and how long
    it would take."""
    with session(is_json, is_debugging) as current:
        parsed = current.read(recipe, overrides)
        show_plan(current, parsed)


def show_plan(current: Session, recipe: "Recipe") -> None:
    """Look at all stages of a run, and print what would become of each."""
    current.open_home(recipe.runtime)
    from flows.plan_run import plan_run

    stages = plan_run(recipe)
    console = Console(soft_wrap=True, highlight=False)
    console.print(_table(stages))
    console.print(_in_words(stages))
    current.emit(_as_result(stages))


def _table(stages: "list[StagePlan]") -> Table:
    table = Table(box=None, pad_edge=False, show_header=True, header_style="")
    for title in ("stage", "would be", "shards", "why"):
        table.add_column(title, overflow="fold")
    for one in stages:
        table.add_row(one.stage, *_row(one))
    return table


def _row(one: "StagePlan") -> tuple[str, str, str]:
    if one.state == "reused":
        return "reused", f"{one.num_shards:,}", ""
    if one.state == "depends":
        return "decided later", "", f"reused if {one.waits_for} writes what it wrote before"
    shards = f"{one.num_missing:,} of {one.num_shards:,}"
    return "run", shards, "no earlier result" if one.is_first else _changes(one)


def _changes(one: "StagePlan") -> str:
    shown = one.changes[:CHANGES_SHOWN]
    more = len(one.changes) - len(shown)
    lines = [*shown, *([f"and {more:,} more changes"] if more else [])]
    return "\n".join(lines) if lines else "the earlier result is damaged or gone"


def _in_words(stages: "list[StagePlan]") -> str:
    running = [one for one in stages if one.state == "run"]
    if not running and all(one.state == "reused" for one in stages if one.stage != "register_model"):
        return "Nothing would be computed again."
    known = [one.seconds for one in running if one.seconds is not None]
    time = f" It took {in_words(sum(known))} before." if known else " How long it takes is not known yet."
    return f"Would run: {', '.join(one.stage for one in running)}.{time}" if running else ""


def _as_result(stages: "list[StagePlan]") -> dict[str, Any]:
    return {"status": "completed", "stages": [one.as_json() for one in stages]}
