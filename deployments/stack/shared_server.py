"""One small Prefect server for all commands of a state directory, used if no server is configured and no stack runs.

Without a server, Prefect starts one inside every command: importing its code and opening its database costs more
processor time than a command that reuses all stages. So the first command starts a server as a separate process, and
later commands use it:

    sft prepare ──starts──▶ server ◀──uses── sft run, sft evaluate, …          no command for 5 minutes: it ends

The server has a session of its own, so Ctrl-C in the terminal does not reach it. It ends by itself when no command has
used it for `SFT_PREFECT_IDLE_SECONDS`, when its state directory is removed, and at `sft down`
(`shared_server_process.py`). Two commands that start at once share one server, because only the holder of `start.lock`
starts one. A server that does not answer is replaced.
"""

import contextlib
import fcntl
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from deployments.environment import SHARED_SERVER_ENVIRONMENT
from deployments.stack.addresses import answers
from deployments.stack.processes import TOKEN_VARIABLE, marked, tell
from deployments.stack.shared_server_state import (
    JOIN_SECONDS,
    SharedServer,
    is_used,
    lock_file,
    read_server,
    server_folder,
    try_lock,
)

IDLE_VARIABLE = "SFT_PREFECT_IDLE_SECONDS"
"""Seconds without any command after which the server ends; with `off`, each command starts a server for itself."""
WATCHED_VARIABLE = "SFT_PREFECT_WATCHED_PID"
"""Id of a process with which the server ends; tests set it to their own process."""
IDLE_SECONDS = 300.0
START_SECONDS, HEALTH_SECONDS, END_SECONDS = 120.0, 5.0, 10.0
HEALTH_ATTEMPTS = 3
"""Number of health checks. More than one, because a busy server may not answer within `HEALTH_SECONDS`."""
POLL_SECONDS = 0.05
CHECKOUT = Path(__file__).parents[2]
_joined: list[int] = []
"""Descriptors of the locks that this process holds until it ends."""


def idle_seconds(environment: Mapping[str, str]) -> float | None:
    """Read from the environment how long the server stays up without users; None if the shared server is disabled."""
    text = environment.get(IDLE_VARIABLE, "").strip().lower()
    if text in ("off", "false", "no"):
        return None
    try:
        return max(0.0, float(text or IDLE_SECONDS))
    except ValueError:
        return IDLE_SECONDS


def join_server(home: Path) -> SharedServer | None:
    """Use the server of a state directory until this process ends, and start one if none answers.

    Returns:
        The server; None if it is disabled or does not start, so that Prefect has to start its own.
    """
    idle = idle_seconds(os.environ)
    if idle is None:
        return None
    server_folder(home).mkdir(parents=True, exist_ok=True)
    with _starting(home) as is_mine:
        if not is_mine:
            return None
        return _join_running(home) or _start(home, idle)


def end_server(home: Path) -> SharedServer | None:
    """End the server of a state directory if no command uses it, and wait for its end.

    Returns:
        The server that was ended, or that still runs because a command uses it; None if no server ran.
    """
    server = read_server(home)
    if server is None:
        return None
    if not is_used(home, server):
        _end(home, server)
    return server


def running_server(home: Path) -> SharedServer | None:
    """Return the server of a state directory; None if its process does not run."""
    server = read_server(home)
    return server if server is not None and _is_alive(server) else None


def _join_running(home: Path) -> SharedServer | None:
    server = read_server(home)
    if server is None:
        return None
    descriptor = _take_part(home, server.token)
    if descriptor is None:
        return None
    if read_server(home) == server:
        for _ in range(HEALTH_ATTEMPTS):
            if answers(f"{server.api}/health", HEALTH_SECONDS):
                _joined.append(descriptor)
                return server
            if not _is_alive(server):
                break
    os.close(descriptor)
    if not is_used(home, server):
        _end(home, server)
    return None


def _start(home: Path, idle: float) -> SharedServer | None:
    """Start a server and wait until it answers. The lock is taken before the start, so the server never finds itself
    unused."""
    token = secrets.token_hex(16)
    descriptor = os.open(lock_file(home, token), os.O_RDWR | os.O_CREAT, 0o600)
    try_lock(descriptor, fcntl.LOCK_SH)
    with (server_folder(home) / "server.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "deployments.stack.shared_server_process", str(home)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**_environment(home), IDLE_VARIABLE: str(idle), TOKEN_VARIABLE: token},
            cwd="/",  # its working directory must not block an unmount
            start_new_session=True,
        )
    deadline = time.monotonic() + START_SECONDS
    try:
        while process.poll() is None and time.monotonic() < deadline:
            server = read_server(home)
            if server is not None and server.token == token:
                _joined.append(descriptor)
                return server
            time.sleep(POLL_SECONDS)
    except BaseException:  # interrupted during the start: no other command uses the server yet
        process.kill()
        raise
    process.kill()
    process.wait()
    os.close(descriptor)
    lock_file(home, token).unlink(missing_ok=True)
    return None


def _environment(home: Path) -> dict[str, str]:
    path = os.pathsep.join(part for part in (str(CHECKOUT), os.environ.get("PYTHONPATH", "")) if part)
    clean = {name: value for name, value in os.environ.items() if name not in ("PREFECT_API_URL", "PREFECT_API_KEY")}
    return {**clean, "PREFECT_HOME": str(home / "prefect"), "PYTHONPATH": path, **SHARED_SERVER_ENVIRONMENT}


def _take_part(home: Path, token: str) -> int | None:
    """Hold a server's lock as one of its users; None if the server is about to end, or has ended."""
    try:
        descriptor = os.open(lock_file(home, token), os.O_RDWR)
    except OSError:
        return None
    if try_lock(descriptor, fcntl.LOCK_SH, JOIN_SECONDS):
        return descriptor
    os.close(descriptor)
    return None


@contextlib.contextmanager
def _starting(home: Path) -> Iterator[bool]:
    """Hold the lock for finding and starting a server; yields False if another command holds it for too long."""
    descriptor = os.open(server_folder(home) / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield try_lock(descriptor, fcntl.LOCK_EX, START_SECONDS)
    finally:
        os.close(descriptor)


def _is_alive(server: SharedServer) -> bool:
    return any(process.pid == server.pid for process in marked(server.token))


def _end(home: Path, server: SharedServer) -> None:
    """Send SIGTERM to a server's process, SIGKILL if it does not end, and remove its files."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + END_SECONDS
        tell(marked(server.token), number, server.token)
        while _is_alive(server) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    forget(home, server.token)


def forget(home: Path, token: str) -> None:
    """Remove the files of a server; `state.json` only if it describes this server."""
    found = read_server(home)
    if found is not None and found.token == token:
        (server_folder(home) / "state.json").unlink(missing_ok=True)
    lock_file(home, token).unlink(missing_ok=True)
