"""Search of artifacts that runs and versions in MLflow need, and of MLflow's own files that nothing needs any more."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.exceptions import MlflowException

from tasks.processes.owners import why_dead
from tasks.tracking.addresses import local_path
from tasks.tracking.dead_runs import heard_of
from tasks.tracking.paging import all_pages
from tasks.tracking.tags import ARTIFACT
from tasks.tracking.versions import registered_versions

_KEY = re.compile(r"[0-9a-f]{32}")
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Needed:
    """Artifacts and flow runs that registered versions and runs need."""

    keys: Mapping[str, str]
    """Key of an artifact → description of what needs it."""
    flow_runs: Mapping[str, str]
    """Id of a Prefect flow run → description of the MLflow run that needs its artifacts."""
    versions: Mapping[tuple[str, str], str]
    """(Name, version) of every registered version → its description."""
    running_since: float | None
    """Start of the oldest run that is running, in seconds since 1970; None if no run is running."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Folder with the files of a deleted run or model."""

    kind: Literal["run", "model"]
    path: Path
    why: str
    model_id: str | None = None
    """Id of a model that has to be deleted together with its files, because its run was deleted."""


def what_is_needed(client: MlflowClient, keep_runs: int) -> Needed:
    """Return what all registered versions, all running runs and the newest runs need.

    Args:
        client: Client of the store.
        keep_runs: Number of newest runs whose artifacts are kept.
    """
    keys: dict[str, str] = {}
    versions: dict[tuple[str, str], str] = {}
    for version in registered_versions(client):
        name = " @".join([f"version {version.name}/{version.version}", *version.aliases])
        versions[version.name, version.version] = name
        keys |= dict.fromkeys(_keys(version.tags), name)
    flow_runs: dict[str, str] = {}
    running = []
    for run, reason in _living_runs(client, keep_runs):
        keys |= {key: reason for key in _keys(run.data.tags) if key not in keys}
        flow_runs |= {run.data.tags["prefect.flow_run_id"]: reason} if "prefect.flow_run_id" in run.data.tags else {}
        running += [run.info.start_time / 1000] if run.info.status == "RUNNING" else []
    return Needed(keys, flow_runs, versions, min(running, default=None))


def leftovers(client: MlflowClient, own: Path | None) -> list[Leftover]:
    """Find the folders on this machine of deleted runs, of deleted models, and of models whose run was deleted.

    Folders that a registered version needs are not included.

    Args:
        client: Client of the store.
        own: Folder with files of this store only; None if there is no such folder. In other folders, a model that this
            store does not have may belong to another store (several databases can share one `mlruns`), and is kept.
    """
    versions = registered_versions(client)
    models, runs = {version.model_id for version in versions}, {version.run_id for version in versions}
    experiments = list(client.search_experiments(view_type=ViewType.ALL))
    deleted = {
        str(run.info.run_id): local_path(run.info.artifact_uri)
        for run in all_pages(
            client.search_runs, [one.experiment_id for one in experiments], "", ViewType.DELETED_ONLY, _PAGE
        )
    }
    of_runs = [
        Leftover("run", folder, f"run {run_id[:8]} was deleted")
        for run_id, folder in deleted.items()
        if run_id not in runs and folder is not None and folder.is_dir()
    ]
    roots = [root for one in experiments if (root := local_path(one.artifact_location))]
    of_models = []
    for folder in (folder for root in roots for folder in sorted((root / "models").glob("m-*"))):
        is_own = own is not None and folder.is_relative_to(own)
        why = None if folder.name in models else _why_gone(client, folder.name, deleted.keys(), is_own)
        of_models += [Leftover("model", folder, *why)] if why else []
    return [*of_runs, *of_models]


def _why_gone(
    client: MlflowClient, model_id: str, deleted_runs: Collection[str], is_own: bool
) -> tuple[str, str | None] | None:
    """Return the reason why nothing needs a logged model, and its id if it is still listed; None if it is needed."""
    try:
        model = client.get_logged_model(model_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return ("the logged model was deleted", None) if is_own else None
        raise
    gone = model.source_run_id in deleted_runs
    return (f"its run {model.source_run_id[:8]} was deleted", model_id) if gone else None


def _living_runs(client: MlflowClient, keep_runs: int) -> Iterator[tuple[Run, str]]:
    """Yield the runs that may be running and the newest runs, each with a description of why it is kept."""
    experiments = [one.experiment_id for one in client.search_experiments(view_type=ViewType.ALL)]
    for run in all_pages(client.search_runs, experiments, "attributes.status = 'RUNNING'", max_results=_PAGE):
        if "sft.host" not in run.data.tags or why_dead(run.data.tags, heard_of(run)) is None:
            yield run, f"run {run.info.run_id[:8]} is running"
    if keep_runs:
        newest = client.search_runs(experiments, max_results=keep_runs, order_by=["attributes.start_time DESC"])
        for run in newest:
            yield run, f"run {run.info.run_id[:8]} is one of the newest {keep_runs}"


def _keys(tags: Mapping[str, str]) -> list[str]:
    return [key for name, value in tags.items() if name.startswith(ARTIFACT) for key in _KEY.findall(value)]
