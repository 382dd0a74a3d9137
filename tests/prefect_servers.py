"""A real Prefect server on the loopback, over SQLite or PostgreSQL, configured by nothing but the test."""

import contextlib
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

from sft_core.processes.subprocesses import die_with_parent
from tests.loopback import free_port, wait_until_up

OUTSIDE = ("PREFECT_", "MLFLOW_", "SFT_HOME")
"""How the names begin of what a developer's own shell may have set."""


@contextlib.contextmanager
def prefect_server(
    folder: Path, database: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[str]:
    """A running server; gives the address of its API.

    Args:
        folder: Its home, in which its log is, and its database unless it has another.
        database: SQLAlchemy address of a PostgreSQL; None: SQLite.
        settings: More of its environment.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)},
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_UI_API_URL": url,  # else its pages ask port 4200
        **({"PREFECT_SERVER_DATABASE_CONNECTION_URL": database} if database else {}),
        **(settings or {}),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, preexec_fn=die_with_parent)
    try:
        wait_until_up(server, folder / "server.log", lambda: urllib.request.urlopen(f"{url}/health", timeout=2))
        yield url
    finally:
        server.terminate()
        server.wait(30)
