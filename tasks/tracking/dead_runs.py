"""Runs that their owner left: killed at once, or with its machine."""

from collections.abc import Set

from mlflow import MlflowClient
from mlflow.entities import Run

from tasks.processes.owners import HEARTBEAT_TAG, is_this_process, why_dead
from tasks.tracking.claims import claim, on_run

CLOSED_TAG = "sft.closed"
"""Why somebody else ended the run."""


def close_dead_runs(client: MlflowClient, experiment_id: str, open_here: Set[str]) -> None:
    """Close as KILLED what is RUNNING although its owner is dead, whatever recipe it is of.

    Such a run ends when its owner was last heard of, and not before it started: the first sign of life is older than
    the run that MLflow makes of it. A run that names no owner is not ours, and is left alone.

    Args:
        client: Of the store.
        experiment_id: Where to look.
        open_here: Ids of the runs that this process is at work on.
    """
    token = None
    while True:
        page = client.search_runs([experiment_id], "attributes.status = 'RUNNING'", page_token=token)
        for run in page:
            if _why_dead(run, open_here) is not None:
                _close(client, run.info.run_id, open_here)
        token = page.token
        if not token:
            return


def _close(client: MlflowClient, run_id: str, open_here: Set[str]) -> None:
    """Close a run, unless somebody who looked at the same time has closed it, and goes on in it by now."""
    with claim(on_run(client, run_id)):
        run = client.get_run(run_id)
        why = _why_dead(run, open_here)
        if run.info.status == "RUNNING" and why is not None:
            client.set_tag(run_id, CLOSED_TAG, why)
            client.set_terminated(run_id, "KILLED", max(run.info.start_time, int(heard_of(run) * 1000)))


def _why_dead(run: Run, open_here: Set[str]) -> str | None:
    tags = run.data.tags
    if "sft.host" not in tags or run.info.run_id in open_here:
        return None
    if is_this_process(tags):
        return "this process no longer works on it"
    return why_dead(tags, heard_of(run))


def heard_of(run: Run) -> float:
    """When a run's owner was last heard of, in seconds since 1970."""
    return float(run.data.tags.get(HEARTBEAT_TAG, run.info.start_time / 1000))
