"""`sft plan`: show what a run would do, without running it."""

from typing import TYPE_CHECKING

from sft_cli.options import Debug, Json, Overrides, RecipePath
from sft_cli.session import Session, session
from sft_core.store.stages import REGISTER_MODEL

if TYPE_CHECKING:
    from sft_core.recipe import Recipe
    from tasks.stages.planning import StagePlan

CHANGES_SHOWN = 6


def plan(recipe: RecipePath, overrides: Overrides = None, is_json: Json = False, is_debugging: Debug = False) -> None:
    """Show what a run would do, without running it: which stages are reused, which would run, what changed, and how
    long they took before."""
    with session(is_json, is_debugging) as current:
        show_plan(current, current.read(recipe, overrides))


def show_plan(current: Session, recipe: "Recipe") -> None:
    """Plan all stages of a run, and print for each whether it is reused or would run."""
    current.open_home(recipe.runtime)
    from flows.queries.plan_run import plan_run

    stages = plan_run(recipe)
    console = current.console
    width = max(len(one.stage) for one in stages)
    for one in stages:
        console.print(f"{one.stage:<{width}}  {_state(one)}")
        for change in _changes(one):
            console.print(f"{'':<{width}}    {change}")
    console.print(f"\n{_in_words(stages)}")
    current.emit({"stages": [one.as_json() for one in stages]})


def _state(one: "StagePlan") -> str:
    shards = f", {one.num_shards:,} shards" if one.num_shards > 1 else ""
    if one.state == "reused":
        return f"reused{shards}" + (f" (made by earlier code: {one.accepted})" if one.accepted else "")
    if one.state == "depends":
        return f"reused if {one.waits_for} writes the same as before, otherwise run"
    missing = f", {one.num_missing:,} of {one.num_shards:,} shards" if one.num_shards > 1 else ""
    return f"run{missing}" + ("" if one.changes else ": there is no earlier result" if one.is_first else "")


def _changes(one: "StagePlan") -> list[str]:
    if one.state == "run" and not one.changes and not one.is_first:
        return ["the earlier result is damaged or missing"]
    shown = one.changes[:CHANGES_SHOWN]
    more = len(one.changes) - len(shown)
    return [*shown, *([f"and {more:,} more changes (--json lists them all)"] if more else [])]


def _in_words(stages: "list[StagePlan]") -> str:
    from tasks.progress.pace import in_words

    running = [one for one in stages if one.state == "run"]
    if not running and all(one.state == "reused" for one in stages if one.stage != REGISTER_MODEL):
        return "Nothing would be computed again."
    known = [one.seconds for one in running if one.seconds is not None]
    time = f" It took {in_words(sum(known))} before." if known else " How long it takes is not known yet."
    return f"Would run: {', '.join(one.stage for one in running)}.{time}" if running else ""
