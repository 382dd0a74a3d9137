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
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from deployments.environment import SHARED_SERVER_ENVIRONMENT
from deployments.stack.addresses import answers
from deployments.stack.processes import TOKEN_VARIABLE, is_marked, marked, tell
from deployments.stack.shared_server_state import (
    SharedServer,
    forget_server,
    is_used,
    lock_file,
    read_server,
    server_folder,
)
from sft_core.processes.subprocesses import python_path
from sft_core.processes.waiting import wait_until
from sft_core.store.locks import open_lock, try_lock

IDLE_VARIABLE = "SFT_PREFECT_IDLE_SECONDS"
"""Seconds without any command after which the server ends; with `off`, each command starts a server for itself."""
WATCHED_VARIABLE = "SFT_PREFECT_WATCHED_PID"
"""Id of a process with which the server ends; tests set it to their own process."""
IDLE_SECONDS = 300.0
START_SECONDS, HEALTH_SECONDS, END_SECONDS = 120.0, 5.0, 10.0
HEALTH_ATTEMPTS = 3
"""Number of health checks. More than one, because a busy server may not answer within `HEALTH_SECONDS`."""
JOIN_SECONDS = 2.0
"""Time for which a command tries to get the lock, which the server holds briefly whenever it checks for users."""
POLL_SECONDS = 0.05
_joined: list[IO[bytes]] = []
"""Locks that this process holds until it ends."""


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
    with open_lock(server_folder(home) / "start.lock") as lock:
        if wait_until(lambda: try_lock(lock, fcntl.LOCK_EX), START_SECONDS, POLL_SECONDS):
            return _join_running(home) or _start(home, idle)
    return None


def end_server(home: Path) -> SharedServer | None:
    """End the server of a state directory if no command uses it, and wait for its end.

    Returns:
        The server that was ended, or that still runs because a command uses it; None if no server ran.
    """
    server = read_server(home)
    if server is not None and not is_used(home, server):
        for number in (signal.SIGTERM, signal.SIGKILL):
            tell(marked(server.token), number)
            wait_until(lambda: not is_marked(server.pid, server.token), END_SECONDS, POLL_SECONDS)
        forget_server(home, server.token)
    return server


def running_server(home: Path) -> SharedServer | None:
    """Return the server of a state directory; None if its process does not run."""
    server = read_server(home)
    return server if server is not None and is_marked(server.pid, server.token) else None


def _join_running(home: Path) -> SharedServer | None:
    server = read_server(home)
    if server is None:
        return None
    with contextlib.suppress(FileNotFoundError):  # without its lock file, it has ended
        lock = open_lock(lock_file(home, server.token), is_made=False)
        is_joined = wait_until(lambda: try_lock(lock, fcntl.LOCK_SH), JOIN_SECONDS, POLL_SECONDS)
        if is_joined and read_server(home) == server and _answers(server):
            _joined.append(lock)
            return server
        lock.close()
        if is_joined:
            end_server(home)
    return None


def _answers(server: SharedServer) -> bool:
    return any(
        answers(f"{server.api}/health", HEALTH_SECONDS)
        for _ in range(HEALTH_ATTEMPTS)
        if is_marked(server.pid, server.token)
    )


def _start(home: Path, idle: float) -> SharedServer | None:
    """Start a server and wait until it answers. The lock is taken before the start, so the server never finds itself
    unused."""
    token = secrets.token_hex(16)
    lock = open_lock(lock_file(home, token))
    try_lock(lock, fcntl.LOCK_SH)
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

    def started() -> SharedServer | None:
        server = read_server(home)
        return server if server is not None and server.token == token else None

    try:
        wait_until(lambda: started() or process.poll() is not None, START_SECONDS, POLL_SECONDS)
        if server := started():
            _joined.append(lock)
            return server
    except BaseException:  # interrupted during the start: no other command uses the server yet
        process.kill()
        raise
    process.kill()
    process.wait()
    lock.close()
    forget_server(home, token)
    return None


def _environment(home: Path) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("PREFECT_API_URL", "PREFECT_API_KEY")}
    return {
        **clean,
        "PREFECT_HOME": str(home / "prefect"),
        "PYTHONPATH": python_path(os.environ),
        **SHARED_SERVER_ENVIRONMENT,
    }
