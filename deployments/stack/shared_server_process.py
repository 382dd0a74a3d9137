"""The process of the Prefect server that the commands of one state directory share.

It serves Prefect's API on a free port of 127.0.0.1, without the UI and without the services that only deployments need,
and checks twice a second whether it is still needed:

| condition | action |
| --- | --- |
| no command holds its lock for `SFT_PREFECT_IDLE_SECONDS` | ends |
| another server has taken its place in `state.json` | ends as soon as no command uses it |
| its state directory was removed | ends |
| the process named by `SFT_PREFECT_WATCHED_PID` has ended | ends |
| SIGTERM | ends |
"""

import fcntl
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from deployments.stack.prefect_database import make_database
from deployments.stack.processes import TOKEN_VARIABLE
from deployments.stack.shared_server import IDLE_VARIABLE, WATCHED_VARIABLE
from deployments.stack.shared_server_state import (
    SharedServer,
    forget_server,
    lock_file,
    read_server,
    server_folder,
    write_server,
)
from sft_core.processes.garbage import uncollected
from sft_core.processes.waiting import wait_until
from sft_core.store.locks import try_lock

CHECK_SECONDS = 0.5
SHUTDOWN_SECONDS = 5
"""Time for requests in progress when the server ends."""


class Wanted:
    """Check whether a server is still needed."""

    def __init__(self, home: Path, token: str, idle_seconds: float, watched: int | None = None) -> None:
        self._home, self._token, self._idle_seconds = home, token, idle_seconds
        self._lock = os.open(lock_file(home, token), os.O_RDWR)  # never closed, so that it is held to the end
        self._watched = None if watched is None else psutil.Process(watched)
        self._used_at = time.monotonic()

    def is_over(self) -> bool:
        """Return True if the server has to end. The lock stays held from then on, so that no command can join."""
        if not server_folder(self._home).is_dir() or (self._watched and not self._watched.is_running()):
            return True
        if not try_lock(self._lock, fcntl.LOCK_EX):
            self._used_at = time.monotonic()
            return False
        current = read_server(self._home)
        is_replaced = current is None or current.token != self._token
        if is_replaced or time.monotonic() - self._used_at >= self._idle_seconds:
            return True
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        return False


def serve(home: Path, token: str, idle_seconds: float, watched: int | None) -> None:
    """Serve until the server is no longer needed, or SIGTERM arrives."""
    wanted = Wanted(home, token, idle_seconds, watched)
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    if "PREFECT_SERVER_DATABASE_CONNECTION_URL" not in os.environ:
        make_database(home / "prefect")
    app = uncollected(_new_app)
    import uvicorn

    config = uvicorn.Config(app, log_level="error", lifespan="on", timeout_graceful_shutdown=SHUTDOWN_SECONDS)
    server = uvicorn.Server(config)

    def announce() -> None:
        wait_until(lambda: server.started or server.should_exit, every=0.02)
        if server.started:
            write_server(home, SharedServer(url=url, pid=os.getpid(), token=token, idle_seconds=idle_seconds))
            wait_until(wanted.is_over, every=CHECK_SECONDS)
            server.should_exit = True

    threading.Thread(target=announce, name="wanted", daemon=True).start()
    try:
        server.run(sockets=[listener])
    finally:
        forget_server(home, token)


def _new_app() -> Any:
    from prefect.server.api.server import create_app

    return create_app()


def main() -> None:
    """Serve the state directory given on the command line."""
    watched = os.environ.get(WATCHED_VARIABLE)
    serve(
        Path(sys.argv[1]),
        os.environ[TOKEN_VARIABLE],
        float(os.environ[IDLE_VARIABLE]),
        int(watched) if watched else None,
    )


if __name__ == "__main__":
    main()
