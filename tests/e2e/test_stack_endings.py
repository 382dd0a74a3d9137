"""However a stack ends, no process of it stays behind, and what was in training can be gone on with."""

import os
import signal
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Workspace
from stacks import (
    end,
    is_training,
    make_home,
    nothing_is_left,
    processes_of,
    start_foreground,
    state_of,
    trigger,
    wait_for,
)

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    made = make_home(tmp_path_factory.mktemp("stack"), max_steps=1_000_000, save_steps=1_000_000)
    yield made
    end(made)


def part(place: Workspace, name: str) -> dict:
    return next(part for part in state_of(place)["parts"] if part["name"] == name)


def checkpoints(place: Workspace) -> list[Path]:
    return list(place.home.glob("work/train_model/*/checkpoints/checkpoint-*/checkpoint.json"))


def states(place: Workspace) -> list[str]:
    with sqlite3.connect(place.home / "prefect" / "prefect.db", timeout=30) as database:
        return [row[0] for row in database.execute("SELECT state_type FROM flow_run WHERE deployment_id IS NOT NULL")]


def test_ctrl_c_lets_a_training_save_a_checkpoint_and_tell_both_servers(place: Workspace) -> None:
    process = start_foreground(place)
    try:
        trigger(place)
        wait_for(lambda: is_training(place), "the first training step")
        assert not checkpoints(place)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=240)
        assert process.returncode == 0, stderr
        assert "flow runs that are asked to end: 1" in stderr
        assert processes_of(place) == []
    finally:
        end(place, process)
    assert len(checkpoints(place)) == 1
    assert states(place) == ["CRASHED"]
    with sqlite3.connect(place.home / "mlflow.db", timeout=30) as database:
        assert database.execute("SELECT status FROM runs").fetchall() == [("KILLED",)]


def test_a_worker_that_dies_is_replaced_and_a_killed_command_leaves_nothing(place: Workspace) -> None:
    process = start_foreground(place)
    try:
        worker = part(place, "worker-gpu")["pid"]
        os.kill(worker, signal.SIGKILL)
        wait_for(
            lambda: part(place, "worker-gpu")["health"] == "healthy" and part(place, "worker-gpu")["pid"] != worker,
            "another worker",
        )
        assert part(place, "worker-gpu")["num_restarts"] == 1
        process.kill()
        _, stderr = process.communicate(timeout=240)
        assert "worker-gpu ended with exit code -9; started again in 1 s" in stderr
        wait_for(lambda: state_of(place)["phase"] == "ended", "the end in good order")
        nothing_is_left(place)
    finally:
        end(place, process)


def test_a_server_that_dies_ends_the_stack_and_says_so(place: Workspace) -> None:
    process = start_foreground(place)
    try:
        os.killpg(part(place, "mlflow-server")["pid"], signal.SIGKILL)
        _, stderr = process.communicate(timeout=240)
        assert process.returncode == 1
        assert "mlflow-server ended with exit code -9; the end of" in stderr
        nothing_is_left(place)
    finally:
        end(place, process)


def test_a_killed_keeper_leaves_nothing_and_its_state_is_seen_through(place: Workspace) -> None:
    process = start_foreground(place)
    try:
        os.kill(int(state_of(place)["owner"]["sft.pid"]), signal.SIGKILL)
        _, stderr = process.communicate(timeout=240)
        assert process.returncode == 1
        assert "the keeper of the stack ended with exit code -9" in stderr
        nothing_is_left(place)
        assert state_of(place)["phase"] == "running", "it could not say that it ended"
        assert place.sft("status", "--json").result["was_killed"]
        outcome = replace(place, is_forked=True).sft("prepare", "recipe.yaml", "--json")
        assert outcome.code == 0, "a stack that is down breaks nothing"
        place.sft("down")
        assert not place.sft("status", "--json").result["was_killed"]
    finally:
        end(place, process)
