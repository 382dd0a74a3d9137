"""Processes of a stack are told by their token, and end in an order that lets flow runs finish."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.stack.processes import PART_VARIABLE, TOKEN_VARIABLE, end_all, end_flow_runs, marked, tell, tell_owner
from tasks.processes.owners import owner_tags

SAVES = (
    "import pathlib, signal, sys, time\n"
    "def save(*_): pathlib.Path(sys.argv[1]).write_text('saved'); sys.exit()\n"
    "signal.signal(signal.SIGTERM, save)\n"
    "pathlib.Path(sys.argv[1]).write_text('started')\n"
    "time.sleep(600)\n"
)
DEAF = SAVES.replace("sys.exit()", "None")


@pytest.fixture
def token() -> Iterator[str]:
    made = secrets.token_hex(8)
    yield made
    for process in marked(made):
        process.process.kill()


def start(token: str, code: str, file: Path, engine: str = "prefect.engine") -> "subprocess.Popen[bytes]":
    """Something that looks like a flow run's own process, once it listens."""
    variables = {TOKEN_VARIABLE: token, PART_VARIABLE: "worker-gpu", "PREFECT__FLOW_RUN_ID": "some"}
    process = subprocess.Popen([sys.executable, "-c", code, str(file), engine], env={**os.environ, **variables})
    while not file.exists() or not file.read_text():
        time.sleep(0.02)
    return process


def test_only_processes_with_the_token_are_of_the_stack(token: str, tmp_path: Path) -> None:
    ours = start(token, SAVES, tmp_path / "ours")
    others = start(token[::-1] + "0", SAVES, tmp_path / "others")
    try:
        (found,) = marked(token)
        assert (found.process.pid, found.part, found.is_flow_run) == (ours.pid, "worker-gpu", True)
    finally:
        others.kill()
        others.wait(60)


def test_what_a_flow_run_starts_inherits_its_environment_and_is_none(token: str, tmp_path: Path) -> None:
    start(token, SAVES, tmp_path / "trainer", engine="sft_core.training")
    (found,) = marked(token)
    assert not found.is_flow_run


def test_flow_runs_are_asked_and_waited_for_and_nobody_else_is(token: str, tmp_path: Path) -> None:
    run = start(token, SAVES, tmp_path / "run")
    trainer = start(token, SAVES, tmp_path / "trainer", engine="sft_core.training")
    said: list[str] = []
    # the test is their parent: as long as it does not ask, they are there, as zombies
    end_flow_runs(token, 60, lambda: False, said.append)
    assert (tmp_path / "run").read_text() == "saved"
    assert run.wait(10) == 0
    assert trainer.poll() is None
    assert said == ["flow runs that are asked to end: 1; training saves a checkpoint"]


def test_who_is_in_a_hurry_does_not_wait(token: str, tmp_path: Path) -> None:
    run = start(token, DEAF, tmp_path / "run")
    end_flow_runs(token, 600, lambda: True)
    assert run.wait(10) == -signal.SIGKILL


def test_all_that_is_left_is_ended(token: str, tmp_path: Path) -> None:
    processes = [start(token, DEAF, tmp_path / name, engine=name) for name in ("prefect.engine", "uvicorn")]
    end_all(token, seconds_to_save=0.2)
    assert [process.wait(10) for process in processes] == [-signal.SIGKILL] * 2
    assert marked(token) == []


def test_a_process_that_got_the_number_of_another_is_left_alone(token: str, tmp_path: Path) -> None:
    stranger = start(token[::-1] + "0", SAVES, tmp_path / "stranger")
    ours = start(token, SAVES, tmp_path / "ours")
    (was,) = marked(token)
    ours.kill()
    ours.wait(60)
    was.process._pid = stranger.pid  # as if the kernel had used the number again
    tell([was], signal.SIGKILL)
    owner = {**owner_tags(), "sft.pid": str(stranger.pid)}
    assert not tell_owner(owner, signal.SIGKILL)
    assert not tell_owner({**owner, "sft.pid": str(ours.pid)}, signal.SIGKILL)
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait(60)


def test_the_number_of_a_process_on_another_machine_is_none_of_ours() -> None:
    harmless = signal.SIGCONT
    assert tell_owner(owner_tags(), harmless)
    assert not tell_owner({**owner_tags(), "sft.host": "elsewhere"}, harmless)
    assert not tell_owner({**owner_tags(), "sft.kernel": "before the last boot"}, harmless)
