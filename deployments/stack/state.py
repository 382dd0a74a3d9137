"""What a home knows of its stack: the servers and workers that `sft up` keeps running over it.

    <home>/stack/state.json     who keeps it, where it answers, how its parts are; of the last one, if none runs
    <home>/stack/lock           held by the keeper for its life, so whoever can take it knows that none runs
    <home>/stack/logs/          of each part, and `stack.log`, what the keeper says

The kernel lets go of the lock when the keeper ends, however it ends. So a state that nobody keeps is told from one that
is kept without asking whether a number is a process, and whose.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

Health = Literal["waiting", "starting", "healthy", "not answering", "restarting", "done", "ended"]
Phase = Literal["starting", "running", "ending", "ended"]


class Part(BaseModel):
    """A process of the stack, and how it is."""

    name: str
    log: str
    health: Health = "waiting"
    pid: int | None = None
    num_restarts: int = 0


class Stack(BaseModel):
    """A stack, as its keeper last described it."""

    token: str
    """Stands in the environment of all its processes."""
    owner: dict[str, str]
    """The keeper, as `tasks.processes.owners` names processes."""
    front: dict[str, str]
    """The `sft up` that it belongs to."""
    started_at: float
    """In seconds since 1970."""
    phase: Phase
    prefect_url: str
    """Of the pages; the API is below `/api`."""
    mlflow_url: str
    prefect_port: int
    mlflow_port: int
    database: str
    """In words; without a password."""
    store: str
    """What MLflow's database is called, whatever server stands before it."""
    seconds_to_ready: float | None = None
    parts: list[Part] = []
    deployments: list[str] = []
    paused_pools: list[str] = []
    """Work pools that the keeper paused, so that nothing new begins while it ends."""
    error: str | None = None
    """Why it ended, if nobody asked it to."""

    @property
    def prefect_api(self) -> str:
        """For `PREFECT_API_URL`."""
        return f"{self.prefect_url}/api"


def stack_folder(home: Path) -> Path:
    """The folder of all that is known of a home's stack."""
    return home / "stack"


def logs_folder(home: Path) -> Path:
    """Where the parts and the keeper write what they say."""
    return stack_folder(home) / "logs"


def read_stack(home: Path) -> Stack | None:
    """What was last written; None where there never was a stack, or one of another version."""
    try:
        return Stack.model_validate_json((stack_folder(home) / "state.json").read_bytes())
    except (OSError, ValidationError):
        return None


def write_stack(home: Path, stack: Stack) -> None:
    """Replace what is written, whole."""
    file = stack_folder(home) / "state.json"
    new = file.with_suffix(".new")
    new.write_text(stack.model_dump_json(indent=1), encoding="utf-8")
    new.chmod(0o600)
    new.replace(file)


def is_kept(home: Path) -> bool:
    """Whether a keeper lives."""
    try:
        with (stack_folder(home) / "lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def kept_stack(home: Path) -> Stack | None:
    """The stack that runs, starts or ends; None if there is none."""
    return read_stack(home) if is_kept(home) else None


@contextlib.contextmanager
def keeping(home: Path, patience_seconds: float = 2.0) -> Iterator[bool]:
    """Be the keeper for the length of a block; gives False if another is.

    Those who only look hold the lock for a moment, so it is asked for again for a while.
    """
    stack_folder(home).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(stack_folder(home) / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + patience_seconds
    try:
        while not (is_mine := _take(descriptor)) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield is_mine
    finally:
        os.close(descriptor)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
