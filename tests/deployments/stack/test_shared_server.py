"""The Prefect server that commands share: who starts it, who uses it, and when it ends."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deployments.stack.processes import marked
from deployments.stack.shared_server import (
    IDLE_SECONDS,
    IDLE_VARIABLE,
    WATCHED_VARIABLE,
    end_server,
    idle_seconds,
    running_server,
)
from deployments.stack.shared_server_process import Wanted
from deployments.stack.shared_server_state import (
    SharedServer,
    is_used,
    lock_file,
    read_server,
    server_folder,
    state_file,
    write_server,
)

PROJECT = Path(__file__).parents[3]
SECONDS = 120.0
COMMAND = """
import sys
from pathlib import Path
from deployments.stack.shared_server import join_server
print(join_server(Path(sys.argv[1])).model_dump_json(), flush=True)
sys.stdin.read()
"""
"""A command that says which server it uses, and uses it until its input ends."""


def described(token: str, pid: int = 1) -> SharedServer:
    return SharedServer(url="http://127.0.0.1:9", pid=pid, token=token, idle_seconds=60)


@pytest.fixture
def server(tmp_path: Path) -> SharedServer:
    """A server that is only written down."""
    server_folder(tmp_path).mkdir(parents=True)
    lock_file(tmp_path, "token").touch()
    write_server(tmp_path, described("token"))
    return described("token")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("", IDLE_SECONDS), ("20", 20.0), ("0", 0.0), ("off", None), ("OFF", None), ("-3", 0.0), ("soon", IDLE_SECONDS)],
)
def test_a_variable_says_how_long_it_stays_or_that_there_is_none(text: str, seconds: float | None) -> None:
    assert idle_seconds({IDLE_VARIABLE: text}) == seconds


def test_what_is_broken_or_missing_describes_no_server(tmp_path: Path, server: SharedServer) -> None:
    assert read_server(tmp_path) is not None
    state_file(tmp_path).write_text("{")
    assert read_server(tmp_path) is None
    assert read_server(tmp_path / "elsewhere") is None


def test_a_server_is_used_as_long_as_a_command_holds_its_lock(tmp_path: Path, server: SharedServer) -> None:
    assert not is_used(tmp_path, server)
    with lock_file(tmp_path, "token").open() as command:
        fcntl.flock(command, fcntl.LOCK_SH)
        assert is_used(tmp_path, server)
    assert not is_used(tmp_path, server)


def test_it_is_wanted_while_it_is_used_and_some_time_after(tmp_path: Path, server: SharedServer) -> None:
    wanted = Wanted(tmp_path, "token", idle_seconds=0.2)
    with lock_file(tmp_path, "token").open() as command:
        fcntl.flock(command, fcntl.LOCK_SH)
        time.sleep(0.3)
        assert not wanted.is_over()
    assert not wanted.is_over()
    time.sleep(0.3)
    assert wanted.is_over()


def test_nobody_joins_a_server_that_is_about_to_end(tmp_path: Path, server: SharedServer) -> None:
    assert Wanted(tmp_path, "token", idle_seconds=0.0).is_over()
    with lock_file(tmp_path, "token").open() as command, pytest.raises(BlockingIOError):
        fcntl.flock(command, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_one_that_was_replaced_serves_its_users_to_their_end(tmp_path: Path, server: SharedServer) -> None:
    wanted = Wanted(tmp_path, "token", idle_seconds=60.0)
    write_server(tmp_path, described("another"))
    with lock_file(tmp_path, "token").open() as command:
        fcntl.flock(command, fcntl.LOCK_SH)
        assert not wanted.is_over()
    assert wanted.is_over()


def test_it_is_not_wanted_without_its_folder_or_the_process_that_it_watches(
    tmp_path: Path, server: SharedServer
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    wanted = Wanted(tmp_path, "token", idle_seconds=60.0, watched=ended.pid)
    assert not wanted.is_over()
    ended.communicate()
    assert wanted.is_over()
    other = Wanted(tmp_path, "token", idle_seconds=60.0)
    shutil.rmtree(tmp_path)
    assert other.is_over()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts commands over one home; whatever is left of them is ended."""
    started: list[subprocess.Popen[str]] = []

    def start(idle: str = "60") -> "subprocess.Popen[str]":
        environment = {**os.environ, IDLE_VARIABLE: idle, WATCHED_VARIABLE: str(os.getpid())}
        command = subprocess.Popen(
            [sys.executable, "-c", COMMAND, str(tmp_path)],
            env={**environment, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(command)
        return command

    yield start
    for command in started:
        command.kill()
        command.communicate()
    end_server(tmp_path)
    assert running_server(tmp_path) is None


def used_by(command: "subprocess.Popen[str]") -> SharedServer:
    assert command.stdout is not None
    return SharedServer.model_validate_json(command.stdout.readline())


def until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SECONDS
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.1)
    return is_so()


@pytest.mark.slow
def test_commands_at_once_and_one_after_the_other_share_one_server_that_ends_when_idle(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    first, second = start("1"), start("1")
    server = used_by(first)
    assert used_by(second) == server
    with urllib.request.urlopen(f"{server.api}/health", timeout=20) as answer:
        assert answer.read() == b"true"
    first.communicate()
    third = start("1")
    assert used_by(third) == server
    for command in (second, third):
        command.communicate()
    assert until(lambda: running_server(tmp_path) is None)
    assert not state_file(tmp_path).exists()
    assert list(server_folder(tmp_path).glob("*.lock")) == [server_folder(tmp_path) / "start.lock"]


@pytest.mark.slow
def test_a_killed_server_is_replaced_and_ctrl_c_in_the_terminal_does_not_reach_it(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    server = used_by(start())
    assert os.getsid(server.pid) == server.pid  # of no terminal
    os.kill(server.pid, signal.SIGKILL)
    assert until(lambda: running_server(tmp_path) is None)
    assert used_by(start()).pid != server.pid


@pytest.mark.slow
def test_it_is_ended_on_request_but_not_under_a_command_and_not_left_by_its_home(
    tmp_path: Path, start: Callable[..., "subprocess.Popen[str]"]
) -> None:
    command = start()
    server = used_by(command)
    assert end_server(tmp_path) == server
    assert running_server(tmp_path) == server
    command.communicate()
    assert end_server(tmp_path) == server
    assert running_server(tmp_path) is None
    command = start()
    server = used_by(command)
    shutil.rmtree(tmp_path / "prefect")
    assert until(lambda: not marked(server.token))
