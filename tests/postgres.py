"""A real PostgreSQL of a test's own, where it is installed."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sft_core.processes.subprocesses import die_with_parent
from tests.loopback import free_port, wait_until_up


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
        subprocess.run(make, check=True, stdout=log, stderr=log, user=user, group=user, cwd=folder, timeout=300)
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
        wait_until_up(process, folder / "log", lambda: socket.create_connection(("127.0.0.1", port), timeout=1))
        yield f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGQUIT)  # at once: the folder goes away
        process.wait(60)
        shutil.rmtree(folder)


def is_postgres_installed() -> bool:
    """Whether `postgres` would give one."""
    return _postgres_programs() is not None and importlib.util.find_spec("psycopg") is not None


def _postgres_programs() -> Path | None:
    """The folder of the newest version that is installed; Debian has none of them in the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = str(debian[-1]) if debian else shutil.which("initdb")
    return Path(found).parent if found else None
