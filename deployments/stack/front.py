"""The stack of one machine: `sft up`, `sft status`, `sft down`.

A stack is a Prefect server, an MLflow server, a worker for each of the two work pools, and all deployments, for one
state directory. This module is the front: it chooses addresses, starts the keeper (`keeper.py`), waits for it, and
signals it to end.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from deployments.stack.addresses import choose_port, public_name
from deployments.stack.databases import Databases, in_home, on_postgres
from deployments.stack.keeper import EXIT_TAKEN, SECONDS_OF_RUNS, STACK_LOG
from deployments.stack.processes import TOKEN_VARIABLE, end_all, tell_owner
from deployments.stack.services import Setting
from deployments.stack.shared_server import end_server
from deployments.stack.state import Stack, is_kept, kept_stack, logs_folder, read_stack, stack_folder
from sft_core.errors import RecipeError
from tasks.processes.launching import python_path
from tasks.processes.owners import owner_tags, why_dead

USUAL_PREFECT_PORT, USUAL_MLFLOW_PORT = 4200, 5000
POLL_SECONDS = 0.1
SECONDS_TO_DETACH = 360.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """Options of `sft up`."""

    host: str = "127.0.0.1"
    prefect_port: int | None = None
    mlflow_port: int | None = None
    postgres: str | None = None


class StackFailedError(RuntimeError):
    """The stack did not start, or ended unexpectedly; the message ends with the log of the part that failed."""


def plan(home: Path, wishes: Wishes) -> Setting:
    """Choose addresses and databases.

    Ports that the user does not set are those of the state directory's last stack, so that links recorded by runs stay
    valid, or else the default ports of Prefect and MLflow. If such a port is not free, any free port is used.

    Raises:
        RecipeError: if an address or database that the user asked for is not available, or a stack already runs for
            this state directory.
    """
    refuse_second(home)
    end_server(home)  # two servers on one SQLite file block each other
    before = read_stack(home)
    prefect, mlflow = (before.prefect_port, before.mlflow_port) if before else (USUAL_PREFECT_PORT, USUAL_MLFLOW_PORT)
    ports = {
        "prefect_port": choose_port(wishes.host, wishes.prefect_port, prefect, "--port"),
        "mlflow_port": choose_port(wishes.host, wishes.mlflow_port, mlflow, "--mlflow-port"),
    }
    databases: Databases = on_postgres(wishes.postgres) if wishes.postgres else in_home(home)
    return Setting(home=home, databases=databases, host=wishes.host, name=public_name(wishes.host), **ports)


def refuse_second(home: Path) -> None:
    """Check that no stack runs for a state directory.

    Raises:
        RecipeError: if a stack runs, with its process and addresses.
    """
    running = kept_stack(home)
    if running is not None:
        raise RecipeError(
            f"a stack of {home} is {running.phase} already (process {running.owner['sft.pid']} on "
            f"{running.owner['sft.host']}): Prefect {running.prefect_url}, MLflow {running.mlflow_url}; "
            "`sft down` ends it; set SFT_HOME to another folder to start a second one"
        )
    if is_kept(home):
        raise RecipeError(f"a stack of {home} is being started by another process; `sft status` shows when it is up")


class Front:
    """The process of `sft up`, with the keeper that it starts; the keeper ends when this process ends."""

    def __init__(self, setting: Setting) -> None:
        self._home = setting.home
        self._token = secrets.token_hex(16)
        self._read = 0
        self._num_signals = 0
        (logs_folder(self._home)).mkdir(parents=True, exist_ok=True)
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "deployments.stack.keeper"],
            stdin=subprocess.PIPE,
            stdout=(logs_folder(self._home) / "keeper.err").open("wb"),
            stderr=subprocess.STDOUT,
            env={**os.environ, TOKEN_VARIABLE: self._token, "PYTHONPATH": python_path()},
            start_new_session=True,
        )
        message = {**asdict(setting), "home": str(self._home), "front": owner_tags()}
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps(message).encode() + b"\n")
        self._keeper.stdin.flush()

    def until_up(self, notify: Callable[[str], None]) -> Stack:
        """Wait until all parts are up, and pass on each line of the stack's log.

        Raises:
            KeyboardInterrupt: if the stack was asked to end before.
            StackFailedError: if the parts do not come up.
        """
        while self._keeper.poll() is None:
            stack = self._state()
            if stack is not None and stack.phase == "running":
                return stack
            self._pass_log_on(notify)
            time.sleep(POLL_SECONDS)
        self._pass_log_on(notify)
        if self._keeper.returncode == 0:
            raise KeyboardInterrupt
        raise self._failure()

    def until_ended(self, notify: Callable[[str], None]) -> None:
        """Wait until the stack has ended, and pass on each line of its log.

        Raises:
            StackFailedError: if it ended without being asked to.
        """
        while self._keeper.poll() is None:
            self._pass_log_on(notify)
            time.sleep(POLL_SECONDS)
        self._pass_log_on(notify)
        if self._keeper.returncode != 0:
            raise self._failure()

    @contextlib.contextmanager
    def passing_signals_on(self) -> Iterator[None]:
        """Pass Ctrl-C, SIGTERM and SIGHUP on to the keeper: the first ends the stack in order, the second at once."""
        heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, self._pass_on) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def sweep(self) -> None:
        """End the keeper, and all processes that are left if it was killed."""
        self._keeper.send_signal(signal.SIGTERM)
        self._keeper.wait()
        end_all(self._token, SECONDS_OF_RUNS)

    def _pass_on(self, number: int, frame: object) -> None:
        self._num_signals += 1
        self._keeper.send_signal(signal.SIGTERM)

    def _state(self) -> Stack | None:
        stack = read_stack(self._home)
        return stack if stack is not None and stack.token == self._token else None

    def _pass_log_on(self, notify: Callable[[str], None]) -> None:
        if self._state() is None:
            return
        with (logs_folder(self._home) / STACK_LOG).open("rb") as log:
            log.seek(self._read)
            lines = log.read()
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            notify(line)

    def _failure(self) -> Exception:
        code, stack = self._keeper.returncode, self._state()
        if code == EXIT_TAKEN:
            return RecipeError(f"another process was first to start a stack in {self._home}; `sft status` shows it")
        if stack is not None and stack.error:
            return StackFailedError(stack.error)
        output = (logs_folder(self._home) / "keeper.err").read_text(errors="replace").splitlines()
        return StackFailedError("\n".join([f"the keeper of the stack ended with exit code {code}", *output[-10:]]))


def detach(home: Path, wishes: Wishes) -> Stack:
    """Run `sft up` in the background, and wait until all parts are up.

    Raises:
        RecipeError: as `plan`.
        StackFailedError: if the stack does not come up.
    """
    refuse_second(home)
    logs_folder(home).mkdir(parents=True, exist_ok=True)
    options = {"--host": wishes.host, "--port": wishes.prefect_port, "--mlflow-port": wishes.mlflow_port}
    arguments = [str(word) for name, value in options.items() if value is not None for word in (name, value)]
    postgres = {"SFT_POSTGRES": wishes.postgres} if wishes.postgres else {}
    log = logs_folder(home) / "up.log"
    with log.open("wb") as output:
        front = subprocess.Popen(
            [sys.executable, "-m", "sft_cli.main", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **postgres, "SFT_HOME": str(home), "PYTHONPATH": python_path()},
            start_new_session=True,
        )
    deadline = time.monotonic() + SECONDS_TO_DETACH
    began = time.time()
    try:
        while front.poll() is None and time.monotonic() < deadline:
            stack = kept_stack(home)
            if stack is not None and stack.started_at >= began and stack.phase == "running":
                return stack
            time.sleep(POLL_SECONDS)
    except BaseException:
        front.send_signal(signal.SIGTERM)
        front.wait()
        raise
    failed = read_stack(home)
    if failed is not None and failed.started_at >= began and failed.error:
        raise StackFailedError(failed.error)
    message = "\n".join(line.removeprefix("sft: ") for line in log.read_text(errors="replace").strip().splitlines())
    raise (RecipeError if front.returncode == 2 else StackFailedError)(message or "the stack did not come up")


def bring_down(home: Path, seconds: float = SECONDS_OF_RUNS + 60.0) -> Stack | None:
    """End the stack of a state directory and wait for its end; if it was killed, end the processes that it left.

    Returns:
        The stack that was ended; None if no stack ran.

    Raises:
        StackFailedError: if it does not end in time, or runs on another machine.
    """
    running = kept_stack(home)
    if running is None:
        return _clean(home)
    if not tell_owner(running.owner, signal.SIGTERM):
        raise StackFailedError(
            f"the stack runs as process {running.owner['sft.pid']} on {running.owner['sft.host']}, and cannot be ended "
            "from here; call `sft down` there"
        )
    deadline = time.monotonic() + seconds
    while is_kept(home) or why_dead(running.front, time.time()) is None:
        if time.monotonic() > deadline:
            raise StackFailedError(f"the stack has not ended in {seconds:.0f} s; see {logs_folder(home) / STACK_LOG}")
        time.sleep(POLL_SECONDS)
    return running


def _clean(home: Path) -> Stack | None:
    """End the processes that a killed keeper left, and remove its state file."""
    left = read_stack(home)
    if left is None or left.phase == "ended":
        return None
    end_all(left.token, SECONDS_OF_RUNS)
    (stack_folder(home) / "state.json").unlink(missing_ok=True)
    return left
