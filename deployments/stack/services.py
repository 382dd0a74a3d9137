"""The parts of a stack: the command, environment and health check of each.

    prefect-server ─┬─ deploy (once) ─ makes pools and deployments
                    ├─ worker-cpu, worker-gpu: start as soon as their pools exist
    mlflow-server ──┘  the runs of the workers get both addresses

Configuration is passed in the environment, never in the command line: all users of the machine can read command lines,
which could show the password of a database.
"""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from deployments.environment import HEARTBEAT_ENVIRONMENT, SERVER_ENVIRONMENT
from deployments.names import CPU_POOL, GPU_POOL
from deployments.stack.addresses import answers, ask, url
from deployments.stack.databases import Databases
from sft_core.processes.subprocesses import CHECKOUT, python_path

ARTIFACTS = "mlflow-artifacts"
"""Folder of MLflow's artifacts below the state directory. The `sft` command uses the same folder without a stack."""
PREFECT_SERVER, MLFLOW_SERVER, DEPLOY = "prefect-server", "mlflow-server", "deploy"
WORKERS = {"worker-cpu": CPU_POOL, "worker-gpu": GPU_POOL}
DEPLOY_CODE = (
    "import json, sys; from pathlib import Path; from deployments.deploying import deploy_all; "
    "made = deploy_all(Path(sys.argv[1])); Path(sys.argv[2]).write_text(json.dumps(made))"
)
DAYS_OF_FLOW_RUNS = 180


@dataclass(frozen=True, slots=True)
class StackSetting:
    """Configuration that all parts of one stack share."""

    home: Path
    databases: Databases
    host: str
    """Address to listen on."""
    name: str
    """Host name in links."""
    prefect_port: int
    mlflow_port: int

    @property
    def prefect_url(self) -> str:
        """URL of Prefect's UI; the API is below `/api`."""
        return url(self.name, self.prefect_port)

    @property
    def mlflow_url(self) -> str:
        """URL of MLflow's UI and API."""
        return url(self.name, self.mlflow_port)

    @property
    def made(self) -> Path:
        """File in which the part `deploy` lists the names of deployments and automations."""
        return self.home / "stack" / "deployments.json"


@dataclass(frozen=True, slots=True)
class Service:
    """Definition of one part."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    is_healthy: Callable[[float], bool]
    """Returns True if the part works. The argument is the time of its start in seconds since 1970."""
    is_startable: Callable[[], bool] = lambda: True
    """Returns True if everything that the part needs is available."""
    is_server: bool = False
    """True for a server, whose end also ends the stack."""
    is_task: bool = False
    """True for a part that does its work once and ends."""
    seconds_to_end: float = 10.0
    """Time between SIGTERM and SIGKILL."""


def services(setting: StackSetting) -> list[Service]:
    """Return the parts of a stack, in display order."""
    return [_prefect_server(setting), _mlflow_server(setting), _deploy(setting), *_workers(setting)]


def _prefect_server(setting: StackSetting) -> Service:
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", setting.host]
    return Service(
        PREFECT_SERVER,
        [*command, "--port", str(setting.prefect_port)],
        {
            **_shared(setting),
            **SERVER_ENVIRONMENT,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": setting.databases.prefect,
            # with SQLite, the server's services and its API share one file: wait for the lock instead of failing
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
            "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
            "PREFECT_SERVER_UI_API_URL": f"{setting.prefect_url}/api",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(DAYS_OF_FLOW_RUNS * 86_400),
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        },
        is_healthy=lambda _: answers(f"{setting.prefect_url}/api/health"),
        is_server=True,
    )


def _mlflow_server(setting: StackSetting) -> Service:
    return Service(
        MLFLOW_SERVER,
        [sys.executable, "-m", "mlflow", "server"],
        {
            **_shared(setting),
            "MLFLOW_HOST": setting.host,
            "MLFLOW_PORT": str(setting.mlflow_port),
            "MLFLOW_WORKERS": "1",
            "MLFLOW_BACKEND_STORE_URI": setting.databases.mlflow,
            # artifact URIs are file paths, not proxied: artifacts can be read without the server
            "MLFLOW_SERVE_ARTIFACTS": "false",
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": (setting.home / ARTIFACTS).as_uri(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **_allowed(setting),
        },
        is_healthy=lambda _: answers(f"{setting.mlflow_url}/health"),
        is_server=True,
    )


def _allowed(setting: StackSetting) -> dict[str, str]:
    """Return the host names that MLflow accepts; by default it accepts only local names and private networks."""
    if setting.name in ("127.0.0.1", "localhost", "::1"):
        return {}
    names = ["localhost", "127.0.0.1", urlsplit(setting.mlflow_url).netloc.rpartition(":")[0]]
    hosts = [host for name in names for host in (name, f"{name}:{setting.mlflow_port}")]
    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}" for host in hosts),
    }


def _deploy(setting: StackSetting) -> Service:
    return Service(
        DEPLOY,
        [sys.executable, "-c", DEPLOY_CODE, str(CHECKOUT), str(setting.made)],
        {**_shared(setting), **_of_a_client(setting)},
        is_startable=partial(answers, f"{setting.prefect_url}/api/health"),
        is_healthy=lambda _: False,  # it is done when its process has ended
        is_task=True,
    )


def _workers(setting: StackSetting) -> Iterable[Service]:
    for name, pool in WORKERS.items():
        pool_url = f"{setting.prefect_url}/api/work_pools/{pool}"
        words = ["--pool", pool, "--type", "process", "--name", name]
        yield Service(
            name,
            [sys.executable, "-m", "prefect", "worker", "start", *words],
            {
                **_shared(setting),
                **_of_a_client(setting),
                **HEARTBEAT_ENVIRONMENT,
                "PREFECT_WORKER_QUERY_SECONDS": "5",
            },
            is_startable=partial(answers, pool_url),
            is_healthy=partial(is_polling, pool_url, name),
            seconds_to_end=45.0,  # longer than the worker's own grace period for flow runs
        )


def _of_a_client(setting: StackSetting) -> dict[str, str]:
    return {
        "PREFECT_API_URL": f"{setting.prefect_url}/api",
        "PREFECT_UI_URL": setting.prefect_url,
        "MLFLOW_TRACKING_URI": setting.mlflow_url,
        "SFT_TRACKING_STORE": setting.databases.store,
        "SFT_CHECKOUT": str(CHECKOUT),
    }


def _shared(setting: StackSetting) -> dict[str, str]:
    """Return the environment of every part: that of the command, without the addresses of other servers, plus
    settings that all parts share."""
    clean = {name: value for name, value in os.environ.items() if name not in _OTHER_SERVERS}
    return {
        **clean,
        "SFT_HOME": str(setting.home),
        "PYTHONPATH": python_path(os.environ),
        "PREFECT_HOME": str(setting.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


_OTHER_SERVERS = ("PREFECT_API_URL", "PREFECT_UI_URL", "PREFECT_API_KEY", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")


def is_polling(pool_url: str, worker: str, since: float) -> bool:
    """Return True if a worker polls its pool: it is ONLINE, and its last heartbeat is not older than its start."""
    try:
        found = ask(f"{pool_url}/workers/filter", {})
    except OSError:
        return False
    return any(
        one["name"] == worker and one["status"] == "ONLINE" and _seconds(one["last_heartbeat_time"]) >= since
        for one in found
    )


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else 0.0
