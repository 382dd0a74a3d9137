"""Deployments: named by module, and a schedule really schedules."""

import importlib
import time
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.e2e
PROJECT = Path(__file__).parents[2]


def test_every_deployment_names_a_flow_by_its_module() -> None:
    from prefect import Flow

    for deployment in yaml.safe_load((PROJECT / "prefect.yaml").read_text())["deployments"]:
        module, _, name = deployment["entrypoint"].rpartition(".")
        flow = getattr(importlib.import_module(module), name)
        assert isinstance(flow, Flow)
        assert flow.name == deployment["name"]
        assert "recipe" in flow.parameters.properties


def test_a_schedule_gets_runs(prefect_url: str) -> None:
    """With a SQLAlchemy that does not fit, a server looks healthy while its scheduler fails every loop."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.client.schemas.schedules import CronSchedule

    # Prefect's own client: a server that shares one SQLite file among its services answers 503 while the file is
    # locked, and expects its callers to ask again.
    with SyncPrefectClient(prefect_url) as client:
        every_minute = DeploymentScheduleCreate(schedule=CronSchedule(cron="* * * * *", timezone="UTC"), active=True)
        deployment = client.create_deployment(
            flow_id=client.create_flow_from_name("prepare-data"),
            name="every-minute",
            entrypoint="flows.prepare_data.prepare_data",
            schedules=[every_minute],
        )
        ours = DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
        deadline = time.monotonic() + 90
        while not any(run.state_type == "SCHEDULED" for run in client.read_flow_runs(deployment_filter=ours)):
            assert time.monotonic() < deadline, "the scheduler made no run in 90 s"
            time.sleep(1)
