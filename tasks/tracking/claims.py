"""One at a time on a registered model, among all who use one MLflow, on whichever machines.

MLflow offers no lock, but tags that are read after they were written. A claim is a tag of its own. Who wants in writes
one, then reads all: alone, it is in; beside another, it takes its own back and tries again after a while. Of two, the
one that reads last has both written before, so they are never both in. A process that died in between leaves its claim
behind: on this machine that is seen at once, from elsewhere the claim counts for `LEASE_SECONDS` (by the clock of who
looks).

What this cannot do: a process that is stopped for longer than the lease between the check and the last alias goes on
when another is in. On one machine the promotion's file lock keeps it out all the same.
"""

import contextlib
import os
import random
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient

from sft_core.errors import StageFailedError

CLAIM = "sft.claim."
LEASE_SECONDS = 60.0
"""What is done under a claim takes a second or two."""
PATIENCE_SECONDS = 180.0


@contextlib.contextmanager
def claim(client: MlflowClient, name: str) -> Iterator[None]:
    """Wait until nobody else is at work on a registered model, and keep others out.

    Raises:
        StageFailedError: if it stays claimed by others.
    """
    own = CLAIM + uuid.uuid4().hex
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        client.set_registered_model_tag(name, own, f"{time.time():.3f} {os.getpid()} {socket.gethostname()}")
        try:
            others = _others(client, name, own)
            if not others:
                yield
                return
        finally:
            client.delete_registered_model_tag(name, own)
        if time.monotonic() > deadline:
            raise StageFailedError(f"the registered model '{name}' stays claimed by others: {', '.join(others)}")
        time.sleep(random.uniform(0.02, 0.3))


def _others(client: MlflowClient, name: str, own: str) -> list[str]:
    """Who else claims it; claims that nobody holds any more are removed."""
    living = []
    for key, value in client.get_registered_model(name).tags.items():
        if not key.startswith(CLAIM) or key == own:
            continue
        since, pid, host = value.split(" ", 2)
        if time.time() - float(since) < LEASE_SECONDS and not is_gone(host, pid):
            living.append(value)
        else:
            with contextlib.suppress(Exception):  # another may have removed it
                client.delete_registered_model_tag(name, key)
    return living


def is_gone(host: str | None, pid: str | None) -> bool:
    """Whether a process is known to have ended: it was one of this machine, and there is none of its number."""
    return host == socket.gethostname() and pid is not None and not Path(f"/proc/{pid}").exists()
