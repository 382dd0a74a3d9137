"""Change detection: train again if data, recipe or code of a model changed, and only then."""

from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from flows.preparation import PreparedData
from flows.prepare_data import prepare_data
from flows.reports.retrain_report import Retrained, as_markdown, known_difference
from flows.triggers.placement import run_sft
from sft_core.errors import RecipeError
from sft_core.inspection import find_artifact, lineage_of
from sft_core.inspection.data_difference import difference_of
from sft_core.recipe.inputs import locate_inputs
from sft_core.recipe.recipe_file import load_recipe
from sft_core.store.artifact import ArtifactStore
from sft_core.store.stages import PACK_SHARDS
from tasks.home import file_digests, open_store
from tasks.tracking.changes import DATASET, KINDS, Kind, changes_since
from tasks.tracking.lookup.history import History, RunFacts, open_history
from tasks.tracking.newest import log_difference, newest_finished


@flow(name="retrain-on-change", flow_run_name="{preset}")
def retrain_on_change(
    preset: str,
    overrides: list[str] | None = None,
    on: tuple[Kind, ...] = ("data", "recipe"),
    dry_run: bool = False,
    train_on: str = "",
) -> State[Retrained]:
    """Compare a recipe with its newest finished run, and run it again if something changed.

    If nothing changed, the flow reports that and ends within seconds. Otherwise it prepares the data, compares it row
    by row with the data of the earlier run, and runs the recipe. The page `sft-retrain` shows the changes.

    Args:
        preset: YAML file of the recipe, relative to the project's folder.
        overrides: Changes to the recipe, each as `dotted.path=value`.
        on: Kinds of changes that start a training: `data` (sources, tokenizer, chat template, and the model that
            training begins with), `recipe`, `code`.
        dry_run: Prepare and compare the data, but do not train.
        train_on: Deployment that trains, as FLOW/DEPLOYMENT. If it is empty, this flow run trains.
    """
    recipe = load_recipe(Path(preset), overrides or [], get_run_logger().info)
    store = open_store(recipe.runtime)
    history = _history(store)
    earlier = newest_finished(history, recipe.name, recipe.registry.experiment) if history else None
    changes = (
        None if earlier is None or history is None else changes_since(history, earlier, recipe, file_digests(store))
    )
    why = ["no run of this recipe has finished yet"] if changes is None else changes.of(on)
    found = Retrained(
        recipe=recipe.name,
        earlier_run_id=earlier.run_id if earlier else None,
        changes=why,
        ignored=[] if changes is None else [line for line in changes.of(KINDS) if line not in why],
    )
    data = None
    if not why and earlier is not None and "data" in on and locate_inputs(recipe, file_digests(store)).processor:
        data = prepare_data(recipe)
        why = [] if earlier.tags.get(DATASET) == data.dataset.key else ["data: images that rows name"]
        found = found.model_copy(update={"changes": why})
    if not why:
        return _ended(found, "nothing changed since run " + str(found.earlier_run_id))

    data = data or prepare_data(recipe)
    if earlier is not None:
        found = found.model_copy(update={"difference": _difference(store, earlier, data)})
    if dry_run:
        return _ended(found, f"{_in_short(why)}; nothing was trained (dry run)")
    _show(found)
    report = run_sft(recipe, train_on or None)
    difference = {"changes": changes.as_json() if changes else None, "data": found.difference}
    log_difference(open_history(store.root), report.mlflow_run_id, found.earlier_run_id, difference)
    return _ended(found.model_copy(update={"run": report}), f"{_in_short(why)}; {report.model_uri}: {report.verdict}")


def _history(store: ArtifactStore) -> History | None:
    """Open the history of runs; return None if no MLflow database exists yet, as before the first run."""
    try:
        return open_history(store.root)
    except RecipeError:
        return None


def _difference(store: ArtifactStore, earlier: RunFacts, data: PreparedData) -> dict[str, Any]:
    """Compare row by row if the earlier data set is still in the store, otherwise by the facts that MLflow has."""
    key = earlier.tags.get(DATASET)
    try:
        if key is None:
            raise RecipeError("the earlier run names no data set")
        before = lineage_of(store, find_artifact(store, PACK_SHARDS, key).ref)
        return {"by_row": True, **difference_of(before, lineage_of(store, data.dataset)).as_json()}
    except RecipeError as error:
        return known_difference(earlier, data, str(error))


def _in_short(why: list[str]) -> str:
    return "changed: " + "; ".join(why[:3]) + (f"; and {len(why) - 3:,} more" if len(why) > 3 else "")


def _show(found: Retrained) -> None:
    words = f"What changed since the newest finished run of {found.recipe}"
    create_markdown_artifact(as_markdown(found), key="sft-retrain", description=words)


def _ended(found: Retrained, message: str) -> State[Retrained]:
    ended = found.model_copy(update={"message": message})
    _show(ended)
    return Completed(message=message, data=ended)
