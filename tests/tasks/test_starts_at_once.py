"""Two starts of one recipe at the same time, where a run of it was closed or left: one goes on in it."""

import multiprocessing
from typing import Any

import pytest

from sft_core.recipe import Recipe
from tasks.processes.owners import owner_tags
from tasks.tracking import Tracker
from tasks.tracking.tag_lock import LOCK_TAG

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
LEFT = ("KILLED", "RUNNING")
"""As an attempt of each recipe left its run: closed, or as its own death did."""


def start_each(uri: str, experiment: str, start: Any, opened: Any) -> None:
    """Start each recipe at the same moment as the other process, and be at work on it at the same time."""
    tracker = Tracker(uri, experiment, None)
    for number in range(len(LEFT)):
        start.wait(120)
        with tracker.run(RECIPE, f"at-once-{number}") as run:
            opened.put((number, run.run_id))
            start.wait(120)


def test_one_of_two_starts_goes_on_in_the_run_and_the_other_gets_its_own(tracker: Tracker) -> None:
    client = tracker.client
    experiment = client.get_experiment(tracker.experiment_id).name
    left = []
    for number, status in enumerate(LEFT):
        tags = {"sft.run_key": f"at-once-{number}", **owner_tags(), "sft.pid": "999999999"}
        left.append(client.create_run(tracker.experiment_id, tags=tags).info.run_id)
        if status != "RUNNING":
            client.set_terminated(left[-1], status)

    context = multiprocessing.get_context("spawn")
    start, opened = context.Barrier(2), context.Queue()
    known = (tracker.tracking_uri, experiment, start, opened)
    processes = [context.Process(target=start_each, args=known) for _ in range(2)]
    for process in processes:
        process.start()
    told = [opened.get(timeout=300) for _ in range(2 * len(LEFT))]
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]

    for number, run_id in enumerate(left):
        both = [opened_id for of, opened_id in told if of == number]
        assert len(set(both)) == 2, "two at work in one run"
        assert run_id in both, "the run that was left is gone on with"
        for mine in map(client.get_run, both):
            assert mine.info.status == "FINISHED"
            assert mine.data.params["training/learning_rate"]
            assert not [tag for tag in mine.data.tags if tag.startswith(LOCK_TAG)]


def test_a_start_beside_another_says_so(tracker: Tracker, capsys: pytest.CaptureFixture[str]) -> None:
    with tracker.run(RECIPE, "beside") as first, tracker.run(RECIPE, "beside") as second:
        assert first.run_id != second.run_id
    assert f"another process runs this recipe in MLflow run {first.run_id}" in capsys.readouterr().err
