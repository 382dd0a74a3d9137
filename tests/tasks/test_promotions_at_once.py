"""Promotions at the same time, by processes that share an MLflow server and nothing else: none is lost."""

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sft_core.registry.promotion import GateConfig
from sft_core.store.artifact import ArtifactStore
from tasks.promote_version import judge
from tasks.tracking import Tracker
from tests.full_size import IS_FULL
from tests.mlflow_servers import mlflow_server
from tests.tasks.registered import register

pytestmark = pytest.mark.slow

NUM_ROUNDS = 20 if IS_FULL else 3
NUM_PROCESSES = 2


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def server_uri(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_server")
        return
    with mlflow_server(tmp_path_factory.mktemp("server")) as server:
        yield server.uri


def promote_in_turn(uri: str, home: str, name: str, versions: list[str], start: Any) -> None:
    """A machine of its own: in each round it promotes a version while another machine promotes the next one."""
    registry, store = Tracker(uri, "at-once", None).registry, ArtifactStore(root=Path(home))
    for version in versions:
        start.wait(120)
        judge(store, registry, GateConfig(), registry.version(name, version))


def test_promotions_at_once_leave_one_chain_with_every_verdict(server_uri: str, tmp_path: Path) -> None:
    """Each version is better than all before it, so that whoever is judged in the right order is promoted."""
    tracker, name = Tracker(server_uri, "at-once", None), "raced"
    num_versions = 1 + NUM_PROCESSES * NUM_ROUNDS
    for number in range(num_versions):
        register(tracker, tmp_path / "made", 10.0 - number / 10, name=name)
    registry = tracker.registry
    judge(ArtifactStore(root=tmp_path), registry, GateConfig(), registry.version(name, "1"))

    context = multiprocessing.get_context("spawn")
    start = context.Barrier(NUM_PROCESSES)
    turns = [
        [str(2 + process + NUM_PROCESSES * turn) for turn in range(NUM_ROUNDS)] for process in range(NUM_PROCESSES)
    ]
    processes = [
        context.Process(target=promote_in_turn, args=(server_uri, str(tmp_path / str(number)), name, versions, start))
        for number, versions in enumerate(turns)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * NUM_PROCESSES

    tags = {str(number): registry.version(name, str(number)).tags for number in range(1, num_versions + 1)}
    aliases = registry.aliases(name)
    assert aliases["champion"] == str(num_versions), "the best, whoever came first in its round"
    chain = [aliases["champion"]]
    while over := tags[chain[-1]]["sft.promoted_over"]:
        chain.append(over)
    assert aliases["previous"] == chain[1]
    assert sorted(chain, key=int) == [number for number, own in tags.items() if "sft.promoted" in own]
    for number, own in tags.items():
        kept_back = own["sft.verdict"].startswith("kept back: eval_loss")
        assert kept_back is (number not in chain), (number, own["sft.verdict"])
    assert not tracker.client.get_registered_model(name).tags, "no lock is left"
