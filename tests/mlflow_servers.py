"""Real MLflow servers on the loopback, over sqlite or PostgreSQL, that a test can stop, freeze and start again."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_core.subprocesses import die_with_parent

STARTUP_SECONDS = 120


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class MlflowServer:
    """`mlflow server` with one worker; all its processes are one group."""

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self._folder, self._port = folder, free_port()
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
        self._wait_until_healthy()

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + STARTUP_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=2):
                return
            time.sleep(0.2)
        raise TimeoutError((self._folder / "server.log").read_text())

    def freeze(self) -> None:
        """It takes connections and never answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """It ends at once, with whatever it was at."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()
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


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """A new PostgreSQL cluster in a temporary folder; gives its SQLAlchemy address. Skips where there is none."""
    pytest.importorskip("psycopg", reason="the driver is not installed: pip install 'sft[postgres]'")
    programs = _postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    # root may not run it, and its own user may not enter pytest's folders
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="sft-postgres-"))
    if user:
        shutil.chown(folder, user, user)
    port = free_port()
    cluster = folder / "cluster"
    with (folder / "log").open("wb") as log:
        make = [programs / "initdb", "-D", cluster, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(make, check=True, stdout=log, stderr=log, user=user, group=user, cwd=folder)
        options = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": folder, "fsync": "off"}
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        process = subprocess.Popen(
            [programs / "postgres", "-D", cluster, *words],
            stdout=log,
            stderr=log,
            user=user,
            group=user,
            cwd=folder,
            preexec_fn=die_with_parent,
        )
    try:
        _wait_for_port(port, process, folder / "log")
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: the folder goes away
        process.wait()
        shutil.rmtree(folder)


def is_postgres_installed() -> bool:
    """Whether `postgres` would give one."""
    return _postgres_programs() is not None and importlib.util.find_spec("psycopg") is not None


def _postgres_programs() -> Path | None:
    """The folder of the newest version that is installed; Debian has none of them in the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).parent if found else None


def _wait_for_port(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise TimeoutError(log.read_text())
