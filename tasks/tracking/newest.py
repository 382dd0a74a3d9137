"""Search of the newest finished run of a recipe, with which a later one is compared."""

from collections.abc import Mapping
from typing import Any

from mlflow.entities import RunTag

from tasks.tracking.lookup.history import History, RunFacts
from tasks.tracking.paging import all_pages
from tasks.tracking.sweeps import KIND, SWEEP

A_PAGE = 20
DIFFERENCE_FILE = "data_difference.json"
RETRAINED_AFTER = "sft.retrained_after"


def newest_finished(history: History, recipe: str, experiment: str) -> RunFacts | None:
    """Return the newest finished run of a recipe, or None; trials of sweeps and evaluations are ignored.

    Args:
        history: The MLflow store.
        recipe: Name of the recipe.
        experiment: Name of the experiment.
    """
    found = history.client.get_experiment_by_name(experiment)
    if found is None:
        return None
    newest_first = all_pages(
        history.client.search_runs,
        [found.experiment_id],
        f"tags.`sft.recipe` = '{recipe}' AND attributes.status = 'FINISHED'",
        max_results=A_PAGE,
        order_by=["attributes.start_time DESC"],
    )
    ordinary = (run for run in newest_first if KIND not in run.data.tags and SWEEP not in run.data.tags)
    return next(map(RunFacts.of, ordinary), None)


def log_difference(history: History, run_id: str, earlier: str | None, difference: Mapping[str, Any]) -> None:
    """Log as an artifact of a run what has changed since an earlier run, and so why it was trained."""
    history.client.log_dict(run_id, dict(difference), DIFFERENCE_FILE)
    if earlier not in (None, run_id):
        history.client.log_batch(run_id, tags=[RunTag(RETRAINED_AFTER, earlier)])
