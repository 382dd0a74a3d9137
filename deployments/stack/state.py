"""State of the stack that `sft up` keeps running for a state directory.

    <home>/stack/state.json     keeper, addresses, and health of the parts; of the last stack, if no stack runs
    <home>/stack/lock           held by the keeper while it runs; if the lock is free, no stack runs
    <home>/stack/logs/          logs of the parts, and `stack.log` of the keeper

The kernel releases the lock when the keeper ends, however it ends. So the lock shows whether a stack runs, without
checking process ids, which may be reused.
"""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from sft_core.processes.waiting import wait_until
from sft_core.store.durable import write_whole
from sft_core.store.locks import is_locked, open_lock, try_lock

Health = Literal["waiting", "starting", "healthy", "not answering", "restarting", "done", "ended"]
Phase = Literal["starting", "running", "ending", "ended"]


class StackPart(BaseModel):
    """A process of the stack, and its health."""

    name: str
    log: str
    health: Health = "waiting"
    pid: int | None = None
    num_restarts: int = 0


class Stack(BaseModel):
    """Description of a stack, which its keeper updates."""

    token: str
    """Value of `SFT_STACK_TOKEN` in the environment of all its processes."""
    owner: dict[str, str]
    """The keeper's process, as described by `tasks.processes.owners.owner_tags`."""
    front: dict[str, str]
    """The process of `sft up` that started the keeper."""
    started_at: float
    """Start time in seconds since 1970."""
    phase: Phase = "starting"
    prefect_url: str
    """URL of Prefect's UI; the API is below `/api`."""
    mlflow_url: str
    prefect_port: int
    mlflow_port: int
    database: str
    """Description of the databases, without a password."""
    store: str
    """Name that identifies MLflow's database, independent of the server's address."""
    seconds_to_ready: float | None = None
    parts: list[StackPart] = []
    deployments: list[str] = []
    paused_pools: list[str] = []
    """Work pools that the keeper paused, so that no new run starts while the stack ends."""
    error: str | None = None
    """Reason for an unexpected end; None otherwise."""

    @property
    def prefect_api(self) -> str:
        """Value for `PREFECT_API_URL`."""
        return f"{self.prefect_url}/api"


def stack_folder(home: Path) -> Path:
    """Return the folder of a stack's state and logs."""
    return home / "stack"


def logs_folder(home: Path) -> Path:
    """Return the folder of the logs of the parts and of the keeper."""
    return stack_folder(home) / "logs"


def read_stack(home: Path) -> Stack | None:
    """Read the last description of a stack; None if there was no stack, or if another version wrote it."""
    try:
        return Stack.model_validate_json((stack_folder(home) / "state.json").read_bytes())
    except (OSError, ValidationError):
        return None


def write_stack(home: Path, stack: Stack) -> None:
    """Replace the description atomically."""
    write_whole(stack_folder(home) / "state.json", stack.model_dump_json(indent=1).encode(), mode=0o600)


def is_kept(home: Path) -> bool:
    """Return True if a keeper runs."""
    return is_locked(stack_folder(home) / "lock", fcntl.LOCK_SH)


def kept_stack(home: Path) -> Stack | None:
    """Return the stack that is starting, running or ending; None if no keeper runs."""
    return read_stack(home) if is_kept(home) else None


@contextlib.contextmanager
def keeping(home: Path, patience_seconds: float = 2.0) -> Iterator[bool]:
    """Hold the keeper's lock; yields False if another keeper holds it.

    Commands that check for a keeper hold the lock briefly, so the attempt is repeated for some seconds.
    """
    stack_folder(home).mkdir(parents=True, exist_ok=True)
    with open_lock(stack_folder(home) / "lock") as lock:
        yield wait_until(lambda: try_lock(lock, fcntl.LOCK_EX), patience_seconds)
