"""Make on a Prefect server what runs are started from: work pools and deployments."""

from pathlib import Path
from typing import Any

from prefect import Flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectAlreadyExists
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker

from deployments.names import CPU_POOL, GPU_POOL


def deploy_all(checkout: Path) -> list[str]:
    """Make the pools and the deployments on the server that PREFECT_API_URL names.

    Args:
        checkout: The folder that the flows are imported from.

    Returns:
        FLOW/DEPLOYMENT of each.
    """
    from flows.prepare_data import prepare_data
    from flows.sft import sft

    with get_client(sync_client=True) as client:
        for pool in (CPU_POOL, GPU_POOL):
            _make_pool(client, pool)
        return [
            _deploy(client, sft, "flows.sft.sft", GPU_POOL, checkout),
            _deploy(client, prepare_data, "flows.prepare_data.prepare_data", CPU_POOL, checkout),
        ]


def _make_pool(client: SyncPrefectClient, name: str) -> None:
    template = ProcessWorker.get_default_base_job_template()
    limit = 1 if name == GPU_POOL else None
    wanted = WorkPoolCreate(name=name, type="process", base_job_template=template, concurrency_limit=limit)
    try:
        client.create_work_pool(wanted)
    except ObjectAlreadyExists:
        return


def _deploy(client: SyncPrefectClient, flow: Flow[..., Any], entrypoint: str, pool: str, checkout: Path) -> str:
    client.create_deployment(
        flow_id=client.create_flow_from_name(flow.name),
        name=flow.name,
        entrypoint=entrypoint,
        work_pool_name=pool,
        pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(checkout)}}],
        parameter_openapi_schema=parameter_schema(flow).model_dump(mode="json"),
    )
    return f"{flow.name}/{flow.name}"
