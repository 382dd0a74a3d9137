"""Plain `prefect deploy --all`, for those who keep to Prefect's own tools."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PROJECT

from deployments.catalogue import catalogue
from deployments.names import CPU_POOL, GPU_POOL
from tests.prefect_servers import OUTSIDE

pytestmark = pytest.mark.e2e


def test_prefect_deploy_makes_what_the_catalogue_says(prefect_url: str, tmp_path: Path) -> None:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.exceptions import ObjectNotFound
    from prefect.workers.process import ProcessWorker

    with SyncPrefectClient(prefect_url) as client:
        for pool in (CPU_POOL, GPU_POOL):
            try:
                client.read_work_pool(pool)
            except ObjectNotFound:
                template = ProcessWorker.get_default_base_job_template()
                client.create_work_pool(WorkPoolCreate(name=pool, type="process", base_job_template=template))
        clean = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
        environment = {
            **clean,
            "PREFECT_API_URL": prefect_url,
            "PREFECT_HOME": str(tmp_path),
            "SFT_CHECKOUT": str(PROJECT),
            "PYTHONPATH": str(PROJECT),
        }
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        told = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=300)
        assert told.returncode == 0, told.stdout + told.stderr
        for entry in catalogue(PROJECT):
            made = client.read_deployment_by_name(entry.full_name)
            assert made.entrypoint == entry.entrypoint
            assert made.work_pool_name == entry.pool
            assert made.job_variables["working_dir"] == str(PROJECT)
            assert made.parameters == entry.parameters
            assert made.description == entry.flow.description
            (step,) = made.pull_steps or []
            assert step == {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}
