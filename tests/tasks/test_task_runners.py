"""`runtime.task_runner`: wherever shards are made, they are the same to the byte, and mistakes come back as words."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from sft_core.errors import DataError, RecipeError, StageFailedError
from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.artifact import ArtifactStore, Manifest
from tasks.workers import shard_workers
from tasks.workers.proof import proof_of
from tests.tasks.dask_cluster import PROJECT, scheduler, workers
from tests.tasks.test_any_cut import prepare, recipe, write_sources
from tests.tasks.test_workers import (
    NUM_SHARDS,
    die_once_at_three,
    end_at_three,
    fail_at_three,
    squares,
    works,
    write_square,
)

NO_RAY = "ray is not installed (extra `ray`)"


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeConfig]:
    folder = tmp_path_factory.mktemp("dask")
    with scheduler(folder) as address, workers(folder, address, 2):
        yield RuntimeConfig(task_runner="dask", task_runner_address=address)


def build(runtime: RuntimeConfig, home: Path, verb: object, *leading: Any) -> list[int]:
    """Build all squares; returns a 1 for each that was told of."""
    done: list[int] = []
    works_of_all = [(plan, replace(work, arguments=(*leading, *work.arguments))) for plan, work in works(verb)]
    with shard_workers(runtime) as own:
        own.build(ArtifactStore(root=home), works_of_all, lambda: done.append(1))
    return done


def contents(home: Path) -> dict[str, Any]:
    """Each artifact's files with their digests, all that was counted, and the key."""
    manifests = [
        Manifest.model_validate_json(path.read_bytes()) for path in (home / "artifacts").rglob("manifest.json")
    ]
    assert manifests
    return {
        manifest.ref.folder: manifest.model_dump(exclude={"made_at", "seconds", "made_by"}) for manifest in manifests
    }


def prepared_on(runtime: RuntimeConfig, folder: Path, tokenizer: Path, home: Path) -> dict[str, Any]:
    own = recipe(folder, tokenizer, "bfd", 7, 2).model_copy(update={"runtime": runtime})
    prepare(own, home)
    return contents(home)


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory, tokenizer_folder: Path) -> tuple[Path, dict[str, Any]]:
    """Sources of several shards, and what the default makes of them."""
    folder = tmp_path_factory.mktemp("usual")
    write_sources(folder / "in")
    return folder / "in", prepared_on(RuntimeConfig(num_workers=2), folder / "in", tokenizer_folder, folder / "home")


@pytest.mark.parametrize("task_runner", ["threads", "dask", "ray"])
def test_every_runner_makes_the_same_artifacts_to_the_byte(
    tmp_path: Path,
    tokenizer_folder: Path,
    usual: tuple[Path, dict[str, Any]],
    task_runner: str,
    request: pytest.FixtureRequest,
) -> None:
    if task_runner == "ray":
        pytest.importorskip("ray", reason=NO_RAY)
    runtime = RuntimeConfig(num_workers=2, task_runner=task_runner)  # type: ignore[arg-type]
    if task_runner == "dask":
        runtime = request.getfixturevalue("dask")
    folder, expected = usual
    assert sum(name.startswith("artifacts/tokenize_chats/") for name in expected) > 8
    assert prepared_on(runtime, folder, tokenizer_folder, tmp_path / "home") == expected
    assert not list((tmp_path / "home").glob("seen-by-workers-*"))


def test_threads_are_of_this_process(tmp_path: Path) -> None:
    assert len(build(RuntimeConfig(num_workers=2, task_runner="threads"), tmp_path, write_square)) == NUM_SHARDS
    facts = [ArtifactStore(root=tmp_path).manifest(plan.ref).facts for plan, _ in works(write_square)]
    assert {fact["process"] for fact in facts} == {os.getpid()}


def test_two_workers_of_dask_share_the_shards(tmp_path: Path, dask: RuntimeConfig) -> None:
    assert len(build(dask, tmp_path, write_square)) == NUM_SHARDS
    facts = [ArtifactStore(root=tmp_path).manifest(plan.ref).facts for plan, _ in works(write_square)]
    assert len({fact["process"] for fact in facts} - {os.getpid()}) == 2


@pytest.mark.parametrize("task_runner", ["threads", "dask"])
def test_a_mistake_in_a_shard_comes_out_as_it_was_raised(
    tmp_path: Path, task_runner: str, request: pytest.FixtureRequest
) -> None:
    runtime = RuntimeConfig(num_workers=2, task_runner="threads")
    runtime = request.getfixturevalue("dask") if task_runner == "dask" else runtime
    with pytest.raises(DataError, match="row 7 of shard 3"):
        build(runtime, tmp_path, fail_at_three)
    assert "9" not in squares(ArtifactStore(root=tmp_path))


def test_a_worker_killed_in_the_middle_costs_nothing_but_time(tmp_path: Path, dask: RuntimeConfig) -> None:
    assert len(build(dask, tmp_path, die_once_at_three, tmp_path / "flag")) == NUM_SHARDS
    assert (tmp_path / "flag").exists()
    assert squares(ArtifactStore(root=tmp_path)) == [str(number**2) for number in range(NUM_SHARDS)]


def test_a_shard_that_kills_its_workers_is_told_of_and_what_was_finished_stays(
    tmp_path: Path, dask: RuntimeConfig
) -> None:
    with pytest.raises(StageFailedError, match="a worker of Dask ended without an error message"):
        build(dask, tmp_path, end_at_three)
    assert "9" not in squares(ArtifactStore(root=tmp_path))
    build(dask, tmp_path, write_square)
    assert squares(ArtifactStore(root=tmp_path)) == [str(number**2) for number in range(NUM_SHARDS)]


def test_a_run_that_is_interrupted_takes_its_shards_back(tmp_path: Path, dask: RuntimeConfig) -> None:
    import distributed

    store = ArtifactStore(root=tmp_path)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), shard_workers(dask) as own:
        own.build(store, works(write_square, 200), interrupt)
    with distributed.Client(dask.task_runner_address) as client:
        give_up = time.monotonic() + 30
        while left := client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)):
            assert time.monotonic() < give_up, f"{left} shards are still waiting on the scheduler"
            time.sleep(0.1)
    assert len(list((tmp_path / "artifacts").rglob("manifest.json"))) < 200


def test_nothing_to_do_connects_to_nothing(tmp_path: Path) -> None:
    nowhere = RuntimeConfig(task_runner="dask", task_runner_address="tcp://127.0.0.1:1")
    with shard_workers(nowhere) as own:
        own.build(ArtifactStore(root=tmp_path), [], lambda: None)


def test_a_scheduler_that_is_not_there_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.workers.on_dask.CONNECT_SECONDS", 1)
    nowhere = RuntimeConfig(task_runner="dask", task_runner_address="tcp://127.0.0.1:1")
    with pytest.raises(RecipeError, match=r"expected a Dask scheduler at tcp://127.0.0.1:1"):
        build(nowhere, tmp_path, write_square)


def test_workers_that_hold_other_code_are_refused(tmp_path: Path) -> None:
    for package in ("sft_core", "tasks"):
        shutil.copytree(PROJECT / package, tmp_path / "other" / package)
    with (tmp_path / "other" / "sft_core" / "errors.py").open("a") as file:
        file.write("\nOTHER = 1\n")
    with scheduler(tmp_path) as address, workers(tmp_path, address, 1, tmp_path / "other"):
        runtime = RuntimeConfig(task_runner="dask", task_runner_address=address)
        with pytest.raises(RecipeError, match="has imported other code of `sft_core`"):
            build(runtime, tmp_path / "home", write_square)
    assert not squares(ArtifactStore(root=tmp_path / "home"))


def test_workers_that_do_not_find_the_work_are_told_of(
    tmp_path: Path, dask: RuntimeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("def verb(number, folder):\n    raise AssertionError\n")
    monkeypatch.syspath_prepend(tmp_path)
    import only_here  # type: ignore[import-not-found]

    with pytest.raises(RecipeError, match=r"No module named 'only_here'.*PYTHONPATH set to this checkout"):
        build(dask, tmp_path / "home", only_here.verb)
    del sys.modules["only_here"]


def test_a_worker_shows_that_it_sees_the_home_and_has_the_same_libraries(tmp_path: Path) -> None:
    with proof_of(tmp_path) as proof:
        proof.check()
        with pytest.raises(RecipeError, match=r"has numpy [0-9.]+ instead of 0.1"):
            replace(proof, libraries=(*proof.libraries, ("numpy", "0.1"))).check()
        with pytest.raises(RecipeError, match="finds another file"):
            replace(proof, word="another").check()
    with pytest.raises(RecipeError, match="the same state directory at the same path"):
        proof.check()


@pytest.mark.parametrize(("task_runner", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task_runner: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, f"tasks.workers.on_{task_runner}", raising=False)
    with pytest.raises(RecipeError, match=rf"pip install 'sft\[{task_runner}\]'"):
        build(RuntimeConfig(task_runner=task_runner), tmp_path, write_square)  # type: ignore[arg-type]


def test_an_address_without_a_cluster_is_refused() -> None:
    with pytest.raises(ValidationError, match="set `task_runner` to dask or ray, or remove the address"):
        RuntimeConfig(task_runner_address="tcp://10.0.0.1:8786")


def test_ray_makes_mistakes_and_deaths_words(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason=NO_RAY)
    ray = RuntimeConfig(num_workers=2, task_runner="ray")
    with pytest.raises(DataError, match="row 7 of shard 3"):
        build(ray, tmp_path / "mistake", fail_at_three)
    with pytest.raises(StageFailedError, match="a worker of Ray ended without an error message"):
        build(ray, tmp_path / "death", end_at_three)
    build(ray, tmp_path / "death", die_once_at_three, tmp_path / "flag")
    assert squares(ArtifactStore(root=tmp_path / "death")) == [str(number**2) for number in range(NUM_SHARDS)]
