"""Closing of runs whose owner process was killed, or whose machine failed, before it could close them."""

from collections.abc import Set

from mlflow import MlflowClient
from mlflow.entities import Run

from tasks.processes.owners import HEARTBEAT_TAG, is_this_process, why_dead
from tasks.tracking.paging import all_pages
from tasks.tracking.tag_lock import on_run, tag_lock

CLOSED_TAG = "sft.closed"
"""Tag with the reason why another process closed the run."""


def close_dead_runs(client: MlflowClient, experiment_id: str, open_here: Set[str]) -> None:
    """Set the status KILLED for all runs of an experiment that are RUNNING although their owner is dead.

    The end time of such a run is its owner's last heartbeat, but not before its start: the time in the first heartbeat
    tag is taken before MLflow creates the run. A run without an owner tag was not made by this project, and is not
    changed.

    Args:
        client: Client of the store.
        experiment_id: Id of the experiment.
        open_here: Ids of the runs that this process works on.
    """
    for run in all_pages(client.search_runs, [experiment_id], "attributes.status = 'RUNNING'"):
        if _why_dead(run, open_here) is not None:
            _close(client, run.info.run_id, open_here)


def _close(client: MlflowClient, run_id: str, open_here: Set[str]) -> None:
    """Close a run, unless another process closed it at the same time and has already resumed it."""
    with tag_lock(on_run(client, run_id)):
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
    """Return the time of the owner's last heartbeat, or else of the run's start, in seconds since 1970."""
    return float(run.data.tags.get(HEARTBEAT_TAG, run.info.start_time / 1000))
