"""Deploy the catalogue to a Prefect server: work pools, limits, and deployments with their forms and schedules.

What exists already is updated, and deploying twice changes nothing. Three things are never changed: the type of an
existing work pool, limits that a user has set, and schedules that a user has made in the UI.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    GlobalConcurrencyLimitCreate,
    WorkPoolCreate,
    WorkPoolUpdate,
)
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.client.schemas.objects import ConcurrencyLimitStrategy, ConcurrencyOptions, WorkPool
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.utilities.schema_tools.validation import ValidationError, validate
from prefect.workers.process import ProcessWorker

from deployments.automations import make_automations
from deployments.catalogue import Entry, catalogue
from deployments.environment import HEARTBEAT_ENVIRONMENT
from deployments.forms import form_schema
from deployments.names import CPU_POOL, GPU_POOL
from sft_core.errors import RecipeError
from tasks.processes.slots import GPU_LIMIT

OURS = "sft"
"""Tag of all deployments of the catalogue, and of their runs."""
PASSED_ON = ("SFT_HOME", "MLFLOW_TRACKING_URI")
"""Environment variables that must have the same value for all workers."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """Result of deploying."""

    deployments: list[str]
    """FLOW/DEPLOYMENT of each deployment that was made or updated."""
    left: list[str]
    """FLOW/DEPLOYMENT of each deployment that was made from an earlier catalogue and is no longer in it."""
    automations: list[str]
    """Names of the automations."""


def deploy_all(checkout: Path) -> list[str]:
    """Make or update everything on the server that `PREFECT_API_URL` names; return the names.

    Args:
        checkout: Folder in which workers find the code and the recipes.
    """
    done = deploy(checkout)
    return [*done.deployments, *done.automations]


def deploy(checkout: Path, is_pruning: bool = False, notify: str | None = None) -> Deployed:
    """Make or update pools, limits, deployments and automations on the server that `PREFECT_API_URL` names.

    Args:
        checkout: Folder in which workers find the code and the recipes.
        is_pruning: Remove deployments that were made from an earlier catalogue and are no longer in it.
        notify: TYPE/NAME of the block that sends notifications; see `make_automations`.

    Raises:
        RecipeError: if a recipe, or `deployments/schedules.yaml`, is not valid; then no pool, limit or deployment was
            changed. Also if the server does not have the block `notify`.
    """
    checkout = checkout.resolve()
    entries = [(entry, _schema(entry, checkout)) for entry in catalogue(checkout)]
    with get_client(sync_client=True) as client:
        pools = {name: _pool(client, name) for name in (CPU_POOL, GPU_POOL)}
        _limit_the_gpu(client)
        known = {one.id: one for one in _ours(client)}
        made = [_make(client, entry, schema, pools[entry.pool], checkout) for entry, schema in entries]
        left = [one for identity, one in known.items() if identity not in {identity for identity, _ in made}]
        names = sorted(f"{client.read_flow(one.flow_id).name}/{one.name}" for one in left)
        for one in left if is_pruning else ():
            client.delete_deployment(one.id)
    return Deployed([name for _, name in made], names, make_automations(notify))


def _schema(entry: Entry, checkout: Path) -> dict[str, Any]:
    """Return the schema of the deployment's form, after checking the catalogue's parameters against it."""
    schema = form_schema(entry.flow, entry.preset(checkout))
    try:
        validate(entry.parameters, schema, raise_on_error=True, ignore_required=True)
    except ValidationError as error:
        raise RecipeError(f"deployment {entry.full_name}: {error}") from error
    return schema


def _pool(client: SyncPrefectClient, name: str) -> WorkPool:
    """Return a work pool, and make it if it does not exist; a new GPU pool gets a concurrency limit of 1."""
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        pool = client.create_work_pool(WorkPoolCreate(name=name, type="process", base_job_template=template))
        if name == GPU_POOL:
            client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=1))
    return pool


def _limit_the_gpu(client: SyncPrefectClient) -> None:
    if GPU_LIMIT not in {limit.name for limit in client.read_global_concurrency_limits()}:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=GPU_LIMIT, limit=1))


def _ours(client: SyncPrefectClient) -> list[DeploymentResponse]:
    tagged = DeploymentFilter(tags=DeploymentFilterTags(all_=[OURS]))
    found: list[DeploymentResponse] = []
    while page := client.read_deployments(deployment_filter=tagged, limit=200, offset=len(found)):
        found += page
    return found


def _make(
    client: SyncPrefectClient, entry: Entry, schema: dict[str, Any], pool: WorkPool, checkout: Path
) -> tuple[Any, str]:
    """Make or update one deployment; return its id and name."""
    strategy = ConcurrencyLimitStrategy(entry.collision_strategy)
    identity = client.create_deployment(
        flow_id=client.create_flow_from_name(entry.flow.name),
        name=entry.name,
        description=entry.description or entry.flow.description,
        entrypoint=entry.entrypoint,
        pull_steps=_pull_steps(pool, checkout),
        work_pool_name=pool.name,
        job_variables=_job_variables(entry, pool, checkout),
        parameters=entry.parameters,
        parameter_openapi_schema=schema,
        enforce_parameter_schema=True,
        tags=[OURS, *entry.tags],
        concurrency_limit=entry.concurrency_limit,
        concurrency_options=ConcurrencyOptions(collision_strategy=strategy) if entry.concurrency_limit else None,
        schedules=[*_made_by_hand(client, entry), *_schedules(entry)],
    )
    return identity, entry.full_name


def _pull_steps(pool: WorkPool, checkout: Path) -> list[dict[str, Any]]:
    """Return the pull step that changes to the checkout. Without a pull step, Prefect copies the whole working
    directory for each run."""
    step = {"prefect.deployments.steps.set_working_directory": {"directory": str(checkout)}}
    return [step] if pool.type == "process" else []


def _job_variables(entry: Entry, pool: WorkPool, checkout: Path) -> dict[str, Any]:
    """Return working directory and environment of the runs; only a process pool gets a working directory, because
    elsewhere the image sets it."""
    place = {"working_dir": str(checkout)} if pool.type == "process" else {}
    shared = {name: value for name in PASSED_ON if (value := os.environ.get(name)) and _has_no_password(value)}
    if "SFT_HOME" in shared:
        shared["SFT_HOME"] = str(Path(shared["SFT_HOME"]).expanduser().resolve())
    own = entry.job_variables
    return {**place, **own, "env": {**HEARTBEAT_ENVIRONMENT, **shared, **own.get("env", {})}}


def _has_no_password(value: str) -> bool:
    """Return False for a URL with a password, which belongs in the worker's environment: job variables are public."""
    return urlsplit(value).password is None


def _schedules(entry: Entry) -> list[DeploymentScheduleCreate]:
    if entry.schedule is None:
        return []
    return [DeploymentScheduleCreate(schedule=entry.schedule, active=entry.is_active, slug=OURS)]


def _made_by_hand(client: SyncPrefectClient, entry: Entry) -> list[DeploymentScheduleCreate]:
    """Return the deployment's schedules that users made; an update replaces all schedules, so it has to pass them."""
    try:
        known = client.read_deployment_by_name(entry.full_name)
    except ObjectNotFound:
        return []
    return [
        DeploymentScheduleCreate(
            schedule=one.schedule,
            active=one.active,
            slug=one.slug,
            parameters=one.parameters,
            max_scheduled_runs=one.max_scheduled_runs,
        )
        for one in known.schedules
        if one.slug != OURS
    ]
