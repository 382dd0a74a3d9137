"""Lock on a registered model or a run, among all processes that use one MLflow store, on any machine.

MLflow has no locks, but a tag that was written can be read by others. A process writes a tag with a name of its own,
then reads all tags. If no other process has such a tag, it holds the lock. Otherwise it removes its own tag, and tries
again after a while under another name. If two processes do this at once, both tags are written before the later of the
two reads, so they never both hold the lock. This only requires that a tag is visible on all of MLflow's servers once it
is written; the clocks of machines need not agree.

One tag that all processes overwrite and read back would not do: the second process may overwrite it after the first one
has read its own value back, and then both hold the lock.

A process that dies while it holds the lock leaves its tag behind. Processes on the same machine notice this at once. On
other machines, a tag is ignored after a waiting process has seen it for `LEASE_SECONDS`.

Limit: a process that is stopped for longer than the lease while it holds the lock loses it, and another process may get
it. The stopped process checks its tag before it changes anything and after it is done, so that this is reported; but it
may be stopped between such a check and the next call. The same is true of a request that is delayed on the network.
"""

import contextlib
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sft_core.errors import StageFailedError
from tasks.processes.owners import owner_tags, why_dead

LOCK_TAG = "sft.claim."
"""Start of the names of the tags, which earlier versions of this project use as well."""
LEASE_SECONDS = 60.0
"""Time after which a tag of another machine is ignored; work under a lock takes a second or two."""
PATIENCE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class LockPlace:
    """Entity of MLflow that has tags, with functions that read and write them."""

    name: str
    """Description for error messages."""
    read: Callable[[], Mapping[str, str]]
    write: Callable[[str, str], Any]
    remove: Callable[[str], Any]

    def has(self, key: str) -> bool:
        """Return True if the entity has the tag."""
        return key in self.read()


def on_model(client: MlflowClient, name: str) -> LockPlace:
    """Return the place for locks on a registered model."""
    return LockPlace(
        f"the registered model '{name}'",
        lambda: client.get_registered_model(name).tags,
        partial(client.set_registered_model_tag, name),
        partial(client.delete_registered_model_tag, name),
    )


def on_run(client: MlflowClient, run_id: str) -> LockPlace:
    """Return the place for locks on a run."""
    return LockPlace(
        f"run {run_id}",
        lambda: client.get_run(run_id).data.tags,
        partial(client.set_tag, run_id),
        partial(client.delete_tag, run_id),
    )


@contextlib.contextmanager
def tag_lock(place: LockPlace) -> Iterator[Callable[[], bool]]:
    """Wait for the lock on a place, and hold it while a block runs.

    Yields:
        A function that returns True if the lock is still held, and so keeps other processes out.

    Raises:
        StageFailedError: if other processes still hold it after `PATIENCE_SECONDS`.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen_since: dict[str, float] = {}
    while True:
        own = LOCK_TAG + uuid.uuid4().hex
        place.write(own, json.dumps(owner_tags()))
        try:
            others = _others(place, own, seen_since)
            if not others:
                yield partial(place.has, own)
                return
        finally:
            _remove(place, own)
        if time.monotonic() > deadline:
            raise StageFailedError(f"{place.name} stays locked by others: {', '.join(others)}")
        time.sleep(random.uniform(0.02, 0.3))


def _others(place: LockPlace, own: str, seen_since: dict[str, float]) -> list[str]:
    """Return descriptions of the other processes with a tag, and remove the tags of dead processes.

    `seen_since` has the time, on this process's monotonic clock, at which each tag was first seen; it is updated.
    """
    living = []
    for key, value in place.read().items():
        if not key.startswith(LOCK_TAG) or key == own:
            continue
        seconds = time.monotonic() - seen_since.setdefault(key, time.monotonic())
        owner = json.loads(value)
        if seconds < LEASE_SECONDS and why_dead(owner, time.time() - seconds) is None:
            living.append(f"process {owner.get('sft.pid')} on host {owner.get('sft.host')}")
        else:
            _remove(place, key)
    return living


def _remove(place: LockPlace, key: str) -> None:
    try:
        place.remove(key)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another process may have removed it
            raise
