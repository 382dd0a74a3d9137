"""Servers on the loopback: a port for one, and the wait until it answers."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

STARTUP_SECONDS = 120


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def wait_until_up(
    process: "subprocess.Popen[bytes]", log: Path, connect: Callable[[], AbstractContextManager[Any]]
) -> None:
    """Wait until a server that was started lets itself be connected to; with its log if it ends, or never does."""
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), connect():
            return
        time.sleep(0.2)
    raise TimeoutError(log.read_text())
