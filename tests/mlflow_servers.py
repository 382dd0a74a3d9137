"""Real MLflow servers on the loopback, over sqlite or PostgreSQL, that a test can stop, freeze and start again."""

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from sft_core.processes.subprocesses import die_with_parent
from tests.fresh_mlflow import write_fresh_mlflow
from tests.loopback import free_port, wait_until_up


class MlflowServer:
    """`mlflow server` with one worker; all its processes are one group."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self._folder, self._port = folder, free_port()
        if database is None:
            write_fresh_mlflow(folder / "server.db")
        self._database = database or f"sqlite:///{folder}/server.db"
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, or start it anew on the same address and data."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self._port)]
        stores = ["--backend-store-uri", self._database, "--artifacts-destination", str(self._folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        clean = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, *stores, "--workers", "1"],
                env={**clean, **quiet},
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        wait_until_up(
            self._process,
            self._folder / "server.log",
            lambda: urllib.request.urlopen(f"{self.uri}/health", timeout=2),
        )

    def freeze(self) -> None:
        """It takes connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It ends at once, with whatever it was at."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(60)
            self._process = None

    def _signal(self, number: int) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)


@contextlib.contextmanager
def mlflow_server(folder: Path, database: str | None = None) -> Iterator[MlflowServer]:
    """A running server; it is ended with all its processes."""
    server = MlflowServer(folder, database)
    try:
        server.start()
        yield server
    finally:
        server.kill()
