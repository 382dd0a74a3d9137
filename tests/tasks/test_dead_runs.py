"""A run that its owner left is closed by whoever starts next, and gone on with by its own recipe."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sft_core.recipe import Recipe
from tasks.processes import owners
from tasks.processes.owners import HEARTBEAT_TAG, owner_tags
from tasks.tracking import Tracker, tracked_run
from tasks.tracking.dead_runs import CLOSED_TAG
from tasks.tracking.provenance import recipe_params

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
OTHER = Recipe(name="other", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
LINES = [{"step": step, "loss": 4.0 - step, "time": float(step), "max_steps": 4} for step in (1, 2, 3, 4)]

DIES = '''
import os, signal, sys, time
from pathlib import Path
from sft_core.recipe import Recipe
from tasks.tracking import TrackedRun, Tracker, tracker

tracker.close_dead_runs = lambda *_: None  # of those that died before
uri, experiment, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def go(point):
    """Open a run and die at a point of its life."""
    tracker = Tracker(uri, experiment, artifact_root=None)
    if point == "opening":
        Tracker._begin = die
    if point == "the end":
        tracker.client.set_terminated = die
    with tracker.run(RECIPE, point) as run:
        if point == "preparation":
            die()
        run.log_file(folder / "samples.jsonl")
        if point == "training":
            run.follow(folder / "half.jsonl")
            time.sleep(4)
            die()
        run.record_metrics(folder / "metrics.jsonl")
        if point == "evaluation":
            die()
        run.record_scorecard({"exact_match": 0.5}, 4, folder / "samples.jsonl")
        if point == "registration":
            die()

for point in sys.argv[4:]:
    child = os.fork()
    if child == 0:
        go(point)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, point
'''
POINTS = ("opening", "preparation", "training", "evaluation", "registration", "the end")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training")
    lines = [json.dumps(line) + "\n" for line in LINES]
    (folder / "half.jsonl").write_text("".join(lines[:2]))
    (folder / "metrics.jsonl").write_text("".join(lines))
    (folder / "samples.jsonl").write_text('{"prompt": "1 + 1", "answer": "two"}\n')
    return folder


@pytest.fixture(scope="module")
def left_behind(tracker: Tracker, folder: Path) -> dict[str, str]:
    """Ids of runs whose owners were killed, by the point of their life."""
    experiment = tracker.client.get_experiment(tracker.experiment_id).name
    words = [tracker.tracking_uri, experiment, str(folder), *POINTS]
    done = subprocess.run(
        [sys.executable, "-c", DIES, *words], cwd=PROJECT, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    runs = tracker.client.search_runs([tracker.experiment_id], "attributes.status = 'RUNNING'")
    return {run.data.tags["sft.run_key"]: run.info.run_id for run in runs}


def run_of(tracker: Tracker, run_id: str) -> Any:
    return tracker.client.get_run(run_id)


def test_whatever_starts_next_closes_what_was_left_behind(tracker: Tracker, left_behind: dict[str, str]) -> None:
    assert sorted(left_behind) == sorted(POINTS)
    with tracker.run(OTHER, "another recipe"):
        for run_id in left_behind.values():
            run = run_of(tracker, run_id)
            assert run.info.status == "KILLED"
            pid, host = run.data.tags["sft.pid"], run.data.tags["sft.host"]
            assert run.data.tags[CLOSED_TAG] == f"process {pid} on host {host} is gone"
            assert run.info.start_time <= run.info.end_time <= time.time() * 1000
    open_runs = tracker.client.search_runs([tracker.experiment_id], "attributes.status = 'RUNNING'")
    assert not open_runs


@pytest.mark.parametrize("point", POINTS)
def test_its_own_recipe_goes_on_with_it_and_nothing_is_missing_or_doubled(
    tracker: Tracker, left_behind: dict[str, str], folder: Path, point: str
) -> None:
    with tracker.run(RECIPE, point) as run:
        assert run_of(tracker, run.run_id).info.status == "RUNNING"
        run.log_file(folder / "samples.jsonl")
        run.record_metrics(folder / "metrics.jsonl")
        run.record_scorecard({"exact_match": 0.5}, 4, folder / "samples.jsonl")
    assert run.run_id == left_behind[point]
    found = run_of(tracker, run.run_id)
    assert found.info.status == "FINISHED"
    assert CLOSED_TAG not in found.data.tags
    assert found.data.params == recipe_params(RECIPE)
    history = {name: tracker.client.get_metric_history(run.run_id, name) for name in ("loss", "exact_match")}
    assert [point.step for point in history["loss"]] == [1, 2, 3, 4]
    assert [point.step for point in history["exact_match"]] == [4]
    names = {item.path for item in tracker.client.list_artifacts(run.run_id)}
    assert names == {"recipe.yaml", "environment.json", "samples.json", "samples.jsonl"}
    table = tracker.client.load_table(tracker.experiment_id, "samples.json", [run.run_id])
    assert table.to_dict("records") == [{"prompt": "1 + 1", "answer": "two"}]


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "600"])
    try:
        yield process
    finally:
        process.kill()
        process.wait(60)


def open_run(tracker: Tracker, changes: Mapping[str, str], seconds_ago: float = 0) -> str:
    """A run that is RUNNING, of this process but for some tags, and last heard of some time ago."""
    tags = {**owner_tags(), HEARTBEAT_TAG: str(int(time.time() - seconds_ago)), **changes}
    return str(tracker.client.create_run(tracker.experiment_id, tags=tags).info.run_id)


def status_after_a_start(tracker: Tracker, run_id: str) -> tuple[str, str | None]:
    with tracker.run(OTHER, "another recipe"):
        run = run_of(tracker, run_id)
    assert run.info.status == "RUNNING" or run.info.start_time <= run.info.end_time
    tracker.client.delete_run(run_id)
    return run.info.status, run.data.tags.get(CLOSED_TAG)


def test_a_process_that_lives_is_left_at_work_until_it_is_dead(
    tracker: Tracker, sleeper: "subprocess.Popen[bytes]"
) -> None:
    start = owners._process_start(sleeper.pid)
    assert start is not None
    tags = {"sft.pid": str(sleeper.pid), "sft.process_start": start}
    weeks = 1e6
    assert status_after_a_start(tracker, open_run(tracker, tags, weeks)) == ("RUNNING", None)
    sleeper.kill()
    time.sleep(0.1)  # a zombie: nobody has waited for it
    status, why = status_after_a_start(tracker, open_run(tracker, tags))
    assert (status, why) == ("KILLED", f"process {sleeper.pid} on host {owner_tags()['sft.host']} is gone")


def test_a_number_that_another_process_has_got_means_nothing(
    tracker: Tracker, sleeper: "subprocess.Popen[bytes]"
) -> None:
    run_id = open_run(tracker, {"sft.pid": str(sleeper.pid), "sft.process_start": "1"})
    status, why = status_after_a_start(tracker, run_id)
    assert status == "KILLED"
    assert why is not None
    assert why.endswith("is gone, and another process has its id")


@pytest.mark.parametrize(
    ("tags", "hours", "expected"),
    [
        ({"sft.host": "elsewhere"}, 23, None),
        ({"sft.host": "elsewhere"}, 25, "no heartbeat from host elsewhere for 1,500 minutes"),
        ({"sft.kernel": "another boot", "sft.pid": "1"}, 0.05, None),
        ({"sft.kernel": "another boot", "sft.pid": "1"}, 0.1, "before its last boot for 6 minutes"),
        ({}, 0, "this process no longer works on it"),
    ],
)
def test_other_machines_are_judged_by_their_silence(
    tracker: Tracker, tags: dict[str, str], hours: float, expected: str | None
) -> None:
    status, why = status_after_a_start(tracker, open_run(tracker, tags, hours * 3600))
    assert status == ("RUNNING" if expected is None else "KILLED")
    assert (expected is None and why is None) or str(why).endswith(str(expected))


def test_a_run_that_names_no_owner_is_left_alone(tracker: Tracker) -> None:
    run_id = tracker.client.create_run(tracker.experiment_id, start_time=1).info.run_id
    assert status_after_a_start(tracker, run_id) == ("RUNNING", None)


def test_an_owner_says_that_it_lives(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracked_run, "HEARTBEAT_SECONDS", 0.0)
    monkeypatch.setattr(tracked_run, "TICK_SECONDS", 0.1)
    with tracker.run(OTHER, "beating") as run:
        tracker.client.set_tag(run.run_id, HEARTBEAT_TAG, "1")
        deadline = time.monotonic() + 20
        while (beat := run_of(tracker, run.run_id).data.tags[HEARTBEAT_TAG]) == "1":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert abs(float(beat) - time.time()) < 20
