"""One at a time on a registered model or on a run, among all who use one MLflow, on whichever machines.

MLflow offers no lock, but tags that are read after they were written. A claim is a tag of its own. Who wants in writes
one, then reads all: alone, it is in; beside another, it takes its own back and tries again after a while, under another
name. Of two, the one that reads last has both written before, so they are never both in. That needs no more of MLflow
than that a tag which was written is read, by whichever of its servers; and no clock that two machines agree on.

A process that died in between leaves its claim behind. On its own machine that is seen at once; elsewhere a claim
counts for as long as whoever waits has seen it for less than `LEASE_SECONDS`.

What this cannot do: a process that is stopped for longer than the lease while it is in loses its claim, and another may
come in. It looks for its claim before it moves anything and once it is done (`Claim.is_held`), so that this is told;
but it may be stopped between such a look and the call after it. The same is true of a call that lies on the network
until the claim is over.
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
"""What is done under a claim takes a second or two."""
PATIENCE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class Place:
    """Something of MLflow's that has tags, and what reads and writes them."""

    name: str
    """For people."""
    read: Callable[[], Mapping[str, str]]
    write: Callable[[str, str], Any]
    remove: Callable[[str], Any]


def on_model(client: MlflowClient, name: str) -> Place:
    """A registered model."""
    return Place(
        f"the registered model '{name}'",
        lambda: client.get_registered_model(name).tags,
        lambda key, value: client.set_registered_model_tag(name, key, value),
        lambda key: client.delete_registered_model_tag(name, key),
    )


def on_run(client: MlflowClient, run_id: str) -> Place:
    """A run."""
    return Place(
        f"run {run_id}",
        lambda: client.get_run(run_id).data.tags,
        lambda key, value: client.set_tag(run_id, key, value),
        lambda key: client.delete_tag(run_id, key),
    )


@dataclass(frozen=True, slots=True)
class Claim:
    """What its holder has of it."""

    place: Place
    key: str

    def is_held(self) -> bool:
        """Whether it still keeps others out."""
        return self.key in self.place.read()


@contextlib.contextmanager
def claim(place: Place) -> Iterator[Claim]:
    """Wait until nobody else is at work on a place, and keep others out.

    Raises:
        StageFailedError: if it stays claimed by others.
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
    """Who else claims it; claims that nobody holds any more are removed.

    Args:
        place: What is claimed.
        own: The tag of who asks.
        seen_since: When each claim was first seen, on the clock of who asks; is added to.
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
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":  # another may have removed it
            raise
