"""Runs of a worker, and how they die: whatever ends one, nothing of it stays at work, the states are true, and the same
run, tried again from Prefect's API, goes on in the same MLflow run from its checkpoint.

One flow run is ended again and again and each time tried again, until it is let through. By default it is cancelled,
killed, and its trainer killed, in mid-training; in full size each ending meets each of five moments, and the worker and
everything at once are killed too.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from life_stack import NUM_STEPS, SAVE_STEPS, Stack, processes, running_stack

from tests.full_size import IS_FULL

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
ENDINGS = {"Cancelled", "Crashed", "Failed", "Completed"}
MOMENTS = ("preparation", "trainer start", "training", "evaluation", "registration")


@pytest.fixture
def fresh_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for each test: a workspace whose work is all to be done."""
    with running_stack(tmp_path_factory.mktemp) as running:
        yield running


def flow_process(stack: Stack) -> int:
    (pid,) = processes(stack, "prefect.engine")
    return pid


def wait_for(condition: Callable[[], object], what: str, seconds: float = 900) -> float:
    """Return how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds} s for {what}"
        time.sleep(0.3)
    return time.monotonic() - began


def made(stack: Stack, stage: str) -> list[Path]:
    return list(stack.workspace.home.glob(f"artifacts/{stage}/**/manifest.json"))


def last_step(stack: Stack) -> int:
    lines = [line for file in stack.workspace.home.glob("work/train_model/*/metrics.jsonl") for line in file.open()]
    return max((json.loads(line)["step"] for line in lines if line.endswith("\n")), default=0)


def checkpoint(stack: Stack) -> int:
    found = stack.workspace.home.glob("work/train_model/*/checkpoints/checkpoint-*/checkpoint.json")
    return max((int(file.parent.name.split("-")[1]) for file in found), default=0)


def wait_until(stack: Stack, moment: str, run: UUID) -> None:
    """Until the run is at a moment of its life."""
    before = last_step(stack)
    is_there: dict[str, Callable[[], object]] = {
        "preparation": lambda: made(stack, "ingest_sources"),
        "trainer start": lambda: processes(stack, "sft_core.training"),
        "training": lambda: last_step(stack) >= before + 2 * SAVE_STEPS and checkpoint(stack) > 0,
        "evaluation": lambda: processes(stack, "sft_core.evaluation"),
        "registration": lambda: made(stack, "evaluate_model") or stack.state(run) in ENDINGS,
    }
    wait_for(is_there[moment], moment)
    assert stack.state(run) == "Running", (moment, stack.state(run), _tail(stack))


def _tail(stack: Stack) -> str:
    return (stack.folder / "worker.log").read_text()[-3000:]


def mlflow_runs(stack: Stack) -> list[tuple[str, str]]:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{stack.workspace.home}/mlflow.db")
    experiment = client.get_experiment_by_name("sft")
    assert experiment is not None
    return [(run.info.run_id, run.info.status) for run in client.search_runs([experiment.experiment_id])]


def end(stack: Stack, run: UUID, ending: str) -> None:
    """End a run, and look at what is left of it."""
    if ending == "cancel":
        stack.cancel(run)
    elif ending == "kill trainer":
        trainers = processes(stack, "-m sft_core.training")
        os.kill(max(trainers), signal.SIGKILL)
    else:
        os.kill(flow_process(stack), {"terminate": signal.SIGTERM, "kill": signal.SIGKILL}[ending])
    expected = {"cancel": "Cancelled", "terminate": "Crashed", "kill": "Crashed", "kill trainer": "Failed"}[ending]
    wait_for(lambda: stack.state(run) in ENDINGS, f"the end after {ending}: {stack.state(run)}", 180)
    assert stack.state(run) == expected, _tail(stack)
    wait_for(lambda: not processes(stack), f"the end of {processes(stack)}", 60)
    if ending == "kill":
        # the worker tells of the end again when it has looked for hooks, and would mark a new attempt as crashed
        wait_for(lambda: not processes(stack, of_hooks=True), "the end of the worker's look for hooks")
        time.sleep(5)
    ((_, status),) = mlflow_runs(stack)
    assert status == {"kill": "RUNNING", "kill trainer": "FAILED"}.get(ending, "KILLED")


def slot_is_back(stack: Stack, ending: str) -> None:
    limit = 75 if ending == "kill" else 15
    seconds = wait_for(lambda: stack.slots_taken() == 0, "the GPU's slot", limit)
    print(f"{ending}: the slot was back after {seconds:.0f} s")


def finish(stack: Stack, run: UUID) -> None:
    """Let it through; nothing is missing, nothing twice."""
    wait_for(lambda: stack.state(run) in ENDINGS, "the end of the run")
    assert stack.state(run) == "Completed", _tail(stack)
    from mlflow import MlflowClient

    ((run_id, status),) = mlflow_runs(stack)
    assert status == "FINISHED"
    client = MlflowClient(f"sqlite:///{stack.workspace.home}/mlflow.db")
    points = client.get_metric_history(run_id, "loss")
    assert [point.step for point in points] == list(range(1, NUM_STEPS + 1)), "one clean curve"
    assert len(client.search_model_versions(f"run_id = '{run_id}'")) == 1
    assert stack.slots_taken() == 0
    assert not stack.events("prefect.automation.action.failed")


def wait_for_events(stack: Stack, name: str) -> list[dict[str, Any]]:
    """The server keeps events some seconds after they arrived."""
    wait_for(lambda: stack.events(name), name, 60)
    return stack.events(name)


def resumed_from(stack: Stack) -> int:
    (result,) = (
        json.loads(path.read_text()) for path in stack.workspace.home.glob("artifacts/train_model/*/result.json")
    )
    return int(result["resumed_from"])


def test_a_run_that_was_cancelled_killed_and_lost_its_trainer_comes_to_its_end(fresh_stack: Stack) -> None:
    stack = fresh_stack
    run = stack.start_run()
    saved = 0
    for ending in ("cancel", "kill", "kill trainer"):
        wait_until(stack, "training", run)
        before = last_step(stack)
        assert stack.slots_taken() == 1
        end(stack, run, ending)
        if ending == "cancel":
            assert checkpoint(stack) > before - SAVE_STEPS
            assert checkpoint(stack) == last_step(stack), "saved when it was asked to end"
        else:
            assert checkpoint(stack) >= saved, "the last periodic one is kept"
        if ending != "kill":
            slot_is_back(stack, ending)
        saved = checkpoint(stack)
        stack.retry(run)
    finish(stack, run)
    assert resumed_from(stack) >= saved > 0
    assert wait_for_events(stack, "prefect.automation.action.executed")
    assert not stack.events("prefect.automation.action.failed")
    subjects = [notice["subject"] for notice in stack.notified.notices]
    for state in ("Crashed", "Failed"):
        assert any(
            subject.startswith("sft: sums - ") and subject.endswith(f" ended as {state}") for subject in subjects
        )
    wait_for(lambda: any("is champion" in notice["subject"] for notice in stack.notified.notices), "the notice", 30)
    (registered,) = wait_for_events(stack, "sft.model.registered")
    assert registered["payload"]["model_uri"] == "models:/sums/1"
    assert registered["payload"]["recipe"]["name"] == "sums"


full = pytest.mark.skipif(not IS_FULL, reason="SFT_TEST_FULL=1 runs each ending at each moment")


@full
@pytest.mark.parametrize("ending", ["cancel", "terminate", "kill"])
def test_each_ending_at_each_moment(fresh_stack: Stack, ending: str) -> None:
    run = fresh_stack.start_run()
    for moment in MOMENTS:
        wait_until(fresh_stack, moment, run)
        saved = checkpoint(fresh_stack)
        end(fresh_stack, run, ending)
        assert checkpoint(fresh_stack) >= saved or made(fresh_stack, "train_model"), "what was kept stays"
        print(f"{ending} in {moment}: states are true, nothing stayed at work", flush=True)
        slot_is_back(fresh_stack, ending)
        fresh_stack.retry(run)
    finish(fresh_stack, run)
    assert resumed_from(fresh_stack) > 0


@full
def test_a_run_ends_with_its_worker_and_is_not_run_twice_by_the_next(fresh_stack: Stack) -> None:
    run = fresh_stack.start_run()
    wait_until(fresh_stack, "training", run)
    fresh_stack.kill_worker()
    wait_for(lambda: not processes(fresh_stack), "the end of the run", 60)
    assert fresh_stack.state(run) == "Crashed"
    assert checkpoint(fresh_stack) == last_step(fresh_stack), "saved when it was asked to end"
    ((_, status),) = mlflow_runs(fresh_stack)
    assert status == "KILLED"
    slot_is_back(fresh_stack, "worker")

    fresh_stack.start_worker()
    time.sleep(15)
    assert not processes(fresh_stack), "nobody asked for it again"
    fresh_stack.retry(run)
    finish(fresh_stack, run)


@full
def test_a_run_whose_machine_died_is_told_dead_by_the_server(fresh_stack: Stack) -> None:
    run = fresh_stack.start_run()
    wait_until(fresh_stack, "training", run)
    victims = list(processes(fresh_stack))
    fresh_stack.kill_worker()
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    assert fresh_stack.state(run) == "Running", "nobody is left to say otherwise"
    seconds = wait_for(lambda: fresh_stack.state(run) == "Crashed", "the automation", 180)
    print(f"Crashed {seconds:.0f} s after its machine died")
    slot_is_back(fresh_stack, "kill")
    fresh_stack.start_worker()
    fresh_stack.retry(run)
    finish(fresh_stack, run)
    assert resumed_from(fresh_stack) > 0
