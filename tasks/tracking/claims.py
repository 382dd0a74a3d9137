"""Mutual exclusion on a registered model or a run, among all processes that use one MLflow store, on any machine.

MLflow has no locks, but a tag that was written can be read by others. A claim is a tag with a name of its own. A
process writes its claim, then reads all claims. If there is no other, it holds the claim. Otherwise it removes its own,
and tries again after a while under another name. If two processes do this at once, both claims are written before the
later of the two reads, so they never both hold one. This only requires that a tag is visible on all of MLflow's servers
once it is written; the clocks of machines need not agree.

A process that dies while it holds a claim leaves it behind. Processes on the same machine notice this at once. On other
machines, a claim is ignored after a waiting process has seen it for `LEASE_SECONDS`.

Limit: a process that is stopped for longer than the lease while it holds a claim loses it, and another process may get
one. The stopped process checks its claim before it changes anything and after it is done (`Claim.is_held`), so that
this is reported; but it may be stopped between such a check and the next call. The same is true of a request that is
delayed on the network until the claim has been lost.
"""

import contextlib
import json
import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sft_core.errors import StageFailedError
from tasks.processes.owners import owner_tags, why_dead

CLAIM = "sft.claim."
LEASE_SECONDS = 60.0
"""Time after which a claim of another machine is ignored; work under a claim takes a second or two."""
PATIENCE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Place:
    """Entity of MLflow that has tags, with functions that read and write them."""

    name: str
    """Description for error messages."""
    read: Callable[[], Mapping[str, str]]
    write: Callable[[str, str], Any]
    remove: Callable[[str], Any]


def on_model(client: MlflowClient, name: str) -> Place:
    """Return the place for claims on a registered model."""
    return Place(
        f"the registered model '{name}'",
        lambda: client.get_registered_model(name).tags,
        lambda key, value: client.set_registered_model_tag(name, key, value),
        lambda key: client.delete_registered_model_tag(name, key),
    )


def on_run(client: MlflowClient, run_id: str) -> Place:
    """Return the place for claims on a run."""
    return Place(
        f"run {run_id}",
        lambda: client.get_run(run_id).data.tags,
        lambda key, value: client.set_tag(run_id, key, value),
        lambda key: client.delete_tag(run_id, key),
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim that this process holds."""

    place: Place
    key: str

    def is_held(self) -> bool:
        """Return True if the claim still exists, and so keeps other processes out."""
        return self.key in self.place.read()


@contextlib.contextmanager
def claim(place: Place) -> Iterator[Claim]:
    """Wait until no other process has a claim on a place, and hold one while a block runs.

    Raises:
        StageFailedError: if other processes still have claims after `PATIENCE_SECONDS`.
    """
    deadline = time.monotonic() + PATIENCE_SECONDS
    seen_since: dict[str, float] = {}
    while True:
        own = CLAIM + uuid.uuid4().hex
        place.write(own, json.dumps(owner_tags()))
        try:
            others = _others(place, own, seen_since)
            if not others:
                yield Claim(place, own)
                return
        finally:
            _remove(place, own)
        if time.monotonic() > deadline:
            raise StageFailedError(f"{place.name} stays claimed by others: {', '.join(others)}")
        time.sleep(random.uniform(0.02, 0.3))


def _others(place: Place, own: str, seen_since: dict[str, float]) -> list[str]:
    """Return descriptions of the other processes that hold claims, and remove claims of dead processes.

    Args:
        place: The place that is claimed.
        own: The tag of this process's claim.
        seen_since: Tag of a claim → time at which it was first seen, on this process's monotonic clock; new claims are
            added.
    """
    living = []
    for key, value in place.read().items():
        if not key.startswith(CLAIM) or key == own:
            continue
        seconds = time.monotonic() - seen_since.setdefault(key, time.monotonic())
        owner = json.loads(value)
        if seconds < LEASE_SECONDS and why_dead(owner, time.time() - seconds) is None:
            living.append(f"process {owner.get('sft.pid')} on host {owner.get('sft.host')}")
        else:
            _remove(place, key)
    return living


def _remove(place: Place, key: str) -> None:
    try:
        place.remove(key)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another process may have removed it
            raise
