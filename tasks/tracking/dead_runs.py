"""Runs that their owner left: killed at once, or with its machine."""

from collections.abc import Set

from mlflow import MlflowClient
from mlflow.entities import Run

from tasks.owners import HEARTBEAT_TAG, is_this_process, why_dead

CLOSED_TAG = "sft.closed"
"""Why somebody else ended the run."""


def close_dead_runs(client: MlflowClient, experiment_id: str, open_here: Set[str]) -> None:
    """Close as KILLED what is RUNNING although its owner is dead, whatever recipe it is of.

    Such a run ends when its owner was last heard of. A run that names no owner is not ours, and is left alone.

    Args:
        client: Of the store.
        experiment_id: Where to look.
        open_here: Ids of the runs that this process is at work on.
    """
    token = None
    while True:
        page = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", page_token=token)
        for run in page:
            why = _why_dead(run, open_here)
            if why is not None:
                client.set_tag(run.info.run_id, CLOSED_TAG, why)
                client.set_terminated(run.info.run_id, "KILLED", int(_heard_of(run) * 1000))
        token = page.token
        if not token:
            return


def _why_dead(run: Run, open_here: Set[str]) -> str | None:
    tags = run.data.tags
    if "sft.host" not in tags or run.info.run_id in open_here:
        return None
    if is_this_process(tags):
        return "this process is no longer at work on it"
    return why_dead(tags, _heard_of(run))


def _heard_of(run: Run) -> float:
    """In seconds since 1970."""
    return float(run.data.tags.get(HEARTBEAT_TAG, run.info.start_time / 1000))
