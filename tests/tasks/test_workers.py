"""Artifacts of many shards, made side by side: the same ones, whole or not at all."""

import os
import signal
from pathlib import Path

import pytest

from sft_core.errors import DataError, StageFailedError
from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.artifact import ArtifactStore, Plan, plan_shards
from sft_core.store.records import StageOutcome
from tasks.workers import ShardWorkers, Work, shard_workers
from tasks.workers.shards import INLINE_SHARDS

NUM_SHARDS = INLINE_SHARDS + 3


def write_square(number: int, folder: Path) -> StageOutcome:
    (folder / "square.txt").write_text(str(number * number))
    return StageOutcome(facts={"process": os.getpid()})


def fail_at_three(number: int, folder: Path) -> StageOutcome:
    if number == 3:
        raise DataError("row 7 of shard 3 is no good")
    return write_square(number, folder)


def end_at_three(number: int, folder: Path) -> StageOutcome:
    if number == 3:
        os._exit(9)
    return write_square(number, folder)


def die_once_at_three(flag: Path, number: int, folder: Path) -> StageOutcome:
    if number == 3 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return write_square(number, folder)


def works(verb: object, count: int = NUM_SHARDS) -> list[tuple[Plan, Work]]:
    plans = plan_shards("squares", {}, [(f"s-{number:05d}", number) for number in range(count)])
    return [(plan, Work(verb, (number,))) for number, plan in enumerate(plans)]  # type: ignore[arg-type]


def squares(store: ArtifactStore) -> list[str]:
    made = [plan.ref for plan, _ in works(write_square)]
    return [(store.path(ref) / "square.txt").read_text() for ref in made if store.find(ref)]


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_any_number_of_workers_makes_the_same(tmp_path: Path, num_workers: int) -> None:
    store, done = ArtifactStore(root=tmp_path), []
    with shard_workers(RuntimeConfig(num_workers=num_workers)) as workers:
        workers.build(store, works(write_square), lambda: done.append(1))
    assert squares(store) == [str(number**2) for number in range(NUM_SHARDS)]
    assert len(done) == NUM_SHARDS
    processes = {store.manifest(plan.ref).facts["process"] for plan, _ in works(write_square)}
    assert (processes == {os.getpid()}) is (num_workers == 1)


def test_few_shards_start_no_process(tmp_path: Path) -> None:
    store = ArtifactStore(root=tmp_path)
    with shard_workers(RuntimeConfig(num_workers=2)) as workers:
        workers.build(store, works(write_square, INLINE_SHARDS), lambda: None)
    assert {store.manifest(plan.ref).facts["process"] for plan, _ in works(write_square, INLINE_SHARDS)} == {
        os.getpid()
    }


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_mistake_in_a_shard_comes_out_as_it_was_raised(tmp_path: Path, num_workers: int) -> None:
    workers = ShardWorkers(num_workers)
    with pytest.raises(DataError, match="row 7 of shard 3"):
        workers.build(ArtifactStore(root=tmp_path), works(fail_at_three), lambda: None)
    workers.close()
    assert not list((tmp_path / "unfinished").iterdir())


def test_a_worker_that_dies_is_told_of_and_what_was_finished_stays(tmp_path: Path) -> None:
    store, workers = ArtifactStore(root=tmp_path), ShardWorkers(2)
    with pytest.raises(StageFailedError, match="a worker process ended without an error message"):
        workers.build(store, works(end_at_three), lambda: None)
    workers.close()
    assert "9" not in squares(store)
    with shard_workers(RuntimeConfig(num_workers=2)) as again:
        again.build(store, works(write_square), lambda: None)
    assert squares(store) == [str(number**2) for number in range(NUM_SHARDS)]
