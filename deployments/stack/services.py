"""The parts of a stack: how each is started, and how one sees that it works.

    prefect-server ─┬─ deploy (once) ─ makes pools and deployments
                    ├─ worker-cpu, worker-gpu: start as soon as their pools are there
    mlflow-server ──┘  the runs of the workers are told both addresses

What each needs to know goes into its environment, never into its command: a command, which everybody on the machine can
read, could show the password of a database.
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
from tasks.processes.launching import python_path

CHECKOUT = Path(__file__).parents[2]
ARTIFACTS = "mlflow-artifacts"
"""Below the home; where the `sft` command keeps the artifacts of its own database too."""
PREFECT_SERVER, MLFLOW_SERVER, DEPLOY = "prefect-server", "mlflow-server", "deploy"
WORKERS = {"worker-cpu": CPU_POOL, "worker-gpu": GPU_POOL}
DEPLOY_CODE = (
    "import json, sys; from pathlib import Path; from deployments.deploying import deploy_all; "
    "made = deploy_all(Path(sys.argv[1])); Path(sys.argv[2]).write_text(json.dumps(made))"
)
DAYS_OF_FLOW_RUNS = 180


@dataclass(frozen=True, slots=True)
class Setting:
    """What all parts of one stack share."""

    home: Path
    databases: Databases
    host: str
    """To listen at."""
    name: str
    """In links."""
    prefect_port: int
    mlflow_port: int

    @property
    def prefect_url(self) -> str:
        """Of the pages."""
        return url(self.name, self.prefect_port)

    @property
    def mlflow_url(self) -> str:
        """Of pages and API."""
        return url(self.name, self.mlflow_port)

    @property
    def made(self) -> Path:
        """Where the deploying process lists what it made."""
        return self.home / "stack" / "deployments.json"


@dataclass(frozen=True, slots=True)
class Service:
    """One part, before it is started."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    is_startable: Callable[[], bool]
    """Whether that which it needs is there."""
    is_healthy: Callable[[float], bool]
    """Whether it works; given when it was started, in seconds since 1970."""
    is_server: bool = False
    """The stack cannot go on without it."""
    is_task: bool = False
    """It does its work and ends."""
    seconds_to_end: float = 10.0


def services(setting: Setting) -> list[Service]:
    """The parts, in the order in which they are told of."""
    return [_prefect_server(setting), _mlflow_server(setting), _deploy(setting), *_workers(setting)]


def _prefect_server(setting: Setting) -> Service:
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", setting.host]
    return Service(
        PREFECT_SERVER,
        [*command, "--port", str(setting.prefect_port)],
        {
            **_shared(setting),
            **SERVER_ENVIRONMENT,
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": setting.databases.prefect,
            # the services of the server and its callers share one file on sqlite: wait for it rather than fail
            "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
            "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
            "PREFECT_SERVER_UI_API_URL": f"{setting.prefect_url}/api",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
            "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(DAYS_OF_FLOW_RUNS * 86_400),
            "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        },
        is_startable=lambda: True,
        is_healthy=lambda _: _answers(f"{setting.prefect_url}/api/health", True),
        is_server=True,
    )


def _mlflow_server(setting: Setting) -> Service:
    return Service(
        MLFLOW_SERVER,
        [sys.executable, "-m", "mlflow", "server"],
        {
            **_shared(setting),
            "MLFLOW_HOST": setting.host,
            "MLFLOW_PORT": str(setting.mlflow_port),
            "MLFLOW_WORKERS": "1",
            "MLFLOW_BACKEND_STORE_URI": setting.databases.mlflow,
            # addresses of files, not of a proxy: what is logged through the server can be read without it
            "MLFLOW_SERVE_ARTIFACTS": "false",
            "MLFLOW_DEFAULT_ARTIFACT_ROOT": (setting.home / ARTIFACTS).as_uri(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **_allowed(setting),
        },
        is_startable=lambda: True,
        is_healthy=lambda _: _answers(f"{setting.mlflow_url}/health", "OK"),
        is_server=True,
    )


def _allowed(setting: Setting) -> dict[str, str]:
    """MLflow answers only under names that it knows; without being told, those of this machine and of private nets."""
    if setting.name in ("127.0.0.1", "localhost", "::1"):
        return {}
    names = ["localhost", "127.0.0.1", urlsplit(setting.mlflow_url).netloc.rpartition(":")[0]]
    hosts = [host for name in names for host in (name, f"{name}:{setting.mlflow_port}")]
    return {
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}" for host in hosts),
    }


def _deploy(setting: Setting) -> Service:
    return Service(
        DEPLOY,
        [sys.executable, "-c", DEPLOY_CODE, str(CHECKOUT), str(setting.made)],
        {**_shared(setting), **_of_a_client(setting)},
        is_startable=lambda: _answers(f"{setting.prefect_url}/api/health", True),
        is_healthy=lambda _: False,  # it is done when it has ended
        is_task=True,
    )


def _workers(setting: Setting) -> Iterable[Service]:
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
            seconds_to_end=45.0,  # longer than the worker itself gives what it started
        )


def _of_a_client(setting: Setting) -> dict[str, str]:
    return {
        "PREFECT_API_URL": f"{setting.prefect_url}/api",
        "PREFECT_UI_URL": setting.prefect_url,
        "MLFLOW_TRACKING_URI": setting.mlflow_url,
        "SFT_TRACKING_STORE": setting.databases.store,
        "SFT_CHECKOUT": str(CHECKOUT),
    }


def _shared(setting: Setting) -> dict[str, str]:
    """All that every part is told, over the environment of the command; what names other servers is left out."""
    clean = {name: value for name, value in os.environ.items() if name not in _OTHER_SERVERS}
    return {
        **clean,
        "SFT_HOME": str(setting.home),
        "PYTHONPATH": python_path(),
        "PREFECT_HOME": str(setting.home / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_CLI_PROMPT": "false",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


_OTHER_SERVERS = ("PREFECT_API_URL", "PREFECT_UI_URL", "PREFECT_API_KEY", "MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID")


def is_polling(pool_url: str, worker: str, since: float) -> bool:
    """Whether a worker asks its pool for runs: it is ONLINE, and was heard of after it was started."""
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


def _answers(address: str, expected: object) -> bool:
    try:
        return bool(ask(address) == expected)
    except OSError:
        return False
