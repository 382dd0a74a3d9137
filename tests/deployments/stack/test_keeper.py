"""A keeper starts its parts, starts workers again, and ends with a server or with the command that started it."""

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest

from deployments.stack.databases import in_home
from deployments.stack.processes import TOKEN_VARIABLE, end_all, tell_owner
from deployments.stack.services import MLFLOW_SERVER, StackSetting
from deployments.stack.state import Stack, StackPart, read_stack
from sft_core.processes.waiting import wait_until
from tasks.processes.owners import owner_tags

PROJECT = Path(__file__).parents[3]
SECONDS = 120.0
KEEPER = """
import os, sys
from deployments.stack import keeper
from deployments.stack.services import DEPLOY, MLFLOW_SERVER, WORKERS, Service

def services(setting):
    deploy = [sys.executable, "-S", "-c", "import sys; open(sys.argv[1], 'w').write('[]')", str(setting.made)]
    yield Service(DEPLOY, deploy, {}, lambda _: False, is_task=True)
    for name in (MLFLOW_SERVER, *WORKERS):
        yield Service(name, ["sleep", "600"], dict(os.environ), lambda _: True, is_server=name == MLFLOW_SERVER)

keeper.services = services
sys.exit(keeper.main())
"""
"""A keeper whose servers and workers only wait."""
Keep = Callable[[bool], "subprocess.Popen[bytes]"]


@pytest.fixture
def keep(tmp_path: Path) -> Iterator[Keep]:
    """Starts a keeper, which is detached or not, and returns when all its parts are up."""
    token = secrets.token_hex(8)

    def start(is_detached: bool) -> "subprocess.Popen[bytes]":
        setting = StackSetting(tmp_path, in_home(tmp_path), "127.0.0.1", "127.0.0.1", 1, 2)
        message = {**asdict(setting), "home": str(tmp_path), "front": owner_tags(), "is_detached": is_detached}
        environment = {**os.environ, TOKEN_VARIABLE: token, "PYTHONPATH": str(PROJECT)}
        keeper = subprocess.Popen([sys.executable, "-c", KEEPER], stdin=subprocess.PIPE, env=environment)
        assert keeper.stdin is not None
        keeper.stdin.write(json.dumps(message).encode() + b"\n")
        keeper.stdin.flush()
        assert wait_until(lambda: keeper.poll() is not None or is_running(tmp_path), SECONDS)
        return keeper

    yield start
    end_all(token, 0.0)


def is_running(home: Path) -> bool:
    return (stack := read_stack(home)) is not None and stack.phase == "running"


def stack_of(home: Path) -> Stack:
    stack = read_stack(home)
    assert stack is not None
    return stack


def part(home: Path, name: str) -> StackPart:
    return next(one for one in stack_of(home).parts if one.name == name)


def test_it_ends_with_the_command_that_started_it(tmp_path: Path, keep: Keep) -> None:
    keeper = keep(False)
    pids = [one.pid for one in stack_of(tmp_path).parts if one.pid]
    assert len(pids) == 3
    keeper.communicate(timeout=SECONDS)  # closes the pipe
    assert keeper.returncode == 0
    assert stack_of(tmp_path).phase == "ended"
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_detached_one_stays_until_it_is_asked_to_end(tmp_path: Path, keep: Keep) -> None:
    keeper = keep(True)
    assert keeper.stdin is not None
    keeper.stdin.close()
    with pytest.raises(subprocess.TimeoutExpired):
        keeper.wait(1.0)
    assert tell_owner(stack_of(tmp_path).owner, signal.SIGTERM)
    assert keeper.wait(SECONDS) == 0
    assert stack_of(tmp_path).phase == "ended"


def test_a_worker_is_started_again_and_the_end_of_a_server_is_the_end_of_all(tmp_path: Path, keep: Keep) -> None:
    keeper = keep(False)
    worker, server = part(tmp_path, "worker-gpu").pid, part(tmp_path, MLFLOW_SERVER).pid
    assert worker
    assert server
    os.kill(worker, signal.SIGKILL)
    assert wait_until(lambda: part(tmp_path, "worker-gpu").pid not in (worker, None), SECONDS)
    assert part(tmp_path, "worker-gpu").num_restarts == 1
    os.kill(server, signal.SIGKILL)
    assert keeper.wait(SECONDS) == 1
    stack = stack_of(tmp_path)
    assert stack.phase == "ended"
    assert str(stack.error).startswith("mlflow-server ended with exit code -9; the end of ")
