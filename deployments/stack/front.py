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
from dataclasses import asdict
from pathlib import Path

from deployments.stack.addresses import choose_port, public_name
from deployments.stack.databases import in_home, on_postgres
from deployments.stack.keeper import EXIT_TAKEN, SECONDS_OF_RUNS, STACK_LOG
from deployments.stack.processes import TOKEN_VARIABLE, end_all, tell_owner
from deployments.stack.services import StackSetting
from deployments.stack.shared_server import end_server
from deployments.stack.state import Stack, is_kept, kept_stack, logs_folder, read_stack, stack_folder
from sft_core.errors import RecipeError
from sft_core.processes.subprocesses import python_path
from sft_core.processes.waiting import wait_until
from tasks.processes.owners import owner_tags, why_dead
from tasks.processes.tail import Tail

USUAL_PREFECT_PORT, USUAL_MLFLOW_PORT = 4200, 5000


class StackFailedError(RuntimeError):
    """The stack did not start, or ended unexpectedly; the message ends with the log of the part that failed."""


def plan(
    home: Path, host: str, prefect_port: int | None, mlflow_port: int | None, postgres: str | None
) -> StackSetting:
    """Choose addresses and databases from the options of `sft up`.

    Ports that the user does not set are those of the state directory's last stack, so that links recorded by runs stay
    valid, or else the default ports of Prefect and MLflow. If such a port is not free, any free port is used.

    Raises:
        RecipeError: if an address or database that the user asked for is not available, or a stack already runs for
            this state directory.
    """
    _refuse_second(home)
    end_server(home)  # two servers on one SQLite file block each other
    before = read_stack(home)
    usual = (before.prefect_port, before.mlflow_port) if before else (USUAL_PREFECT_PORT, USUAL_MLFLOW_PORT)
    return StackSetting(
        home=home,
        prefect_port=choose_port(host, prefect_port, usual[0], "--port"),
        mlflow_port=choose_port(host, mlflow_port, usual[1], "--mlflow-port"),
        databases=on_postgres(postgres) if postgres else in_home(home),
        host=host,
        name=public_name(host),
    )


def _refuse_second(home: Path) -> None:
    """Raise a `RecipeError` if a stack runs for a state directory, with its process and addresses."""
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
    """The process of `sft up`, with the keeper that it starts."""

    def __init__(self, setting: StackSetting, is_detached: bool) -> None:
        """Start the keeper.

        Args:
            setting: Configuration of the stack.
            is_detached: The keeper stays after the end of this process, once everything is up.
        """
        self._home = setting.home
        self._token = secrets.token_hex(16)
        logs = logs_folder(self._home)
        logs.mkdir(parents=True, exist_ok=True)
        self._log, self._output = Tail(logs / STACK_LOG), logs / "keeper.err"
        with self._output.open("wb") as output:
            self._keeper = subprocess.Popen(
                [sys.executable, "-m", "deployments.stack.keeper"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, TOKEN_VARIABLE: self._token, "PYTHONPATH": python_path(os.environ)},
                start_new_session=True,
            )
        message = {**asdict(setting), "home": str(self._home), "front": owner_tags(), "is_detached": is_detached}
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(json.dumps(message).encode() + b"\n")
        self._keeper.stdin.flush()

    def until_up(self, notify: Callable[[str], None]) -> Stack:
        """Wait until all parts are up, and pass on each line of the stack's log.

        Raises:
            KeyboardInterrupt: if the stack was asked to end before.
            StackFailedError: if the parts do not come up.
        """
        stack = self._wait(lambda stack: stack is not None and stack.phase == "running", notify)
        if stack is None:
            raise KeyboardInterrupt
        return stack

    def until_ended(self, notify: Callable[[str], None]) -> None:
        """Wait until the stack has ended, and pass on each line of its log.

        Raises:
            StackFailedError: if it ended without being asked to.
        """
        self._wait(lambda _: False, notify)

    @contextlib.contextmanager
    def attended(self) -> Iterator[None]:
        """Pass signals on to the keeper; after an error, end it, and all processes that are left if it was killed.

        The first Ctrl-C, SIGTERM or SIGHUP ends the stack in order, the second at once.
        """
        try:
            with self._passing_signals_on():
                yield
        except BaseException:
            self._keeper.send_signal(signal.SIGTERM)
            self._keeper.wait()
            end_all(self._token, SECONDS_OF_RUNS)
            raise

    @contextlib.contextmanager
    def _passing_signals_on(self) -> Iterator[None]:
        heard = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {
            number: signal.signal(number, lambda *_: self._keeper.send_signal(signal.SIGTERM)) for number in heard
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _wait(self, is_enough: Callable[[Stack | None], bool], notify: Callable[[str], None]) -> Stack | None:
        """Wait for a state of the stack, and return it; None if the stack was asked to end before."""

        def look() -> bool:
            is_over = self._keeper.poll() is not None  # before its last lines are read
            stack = self._state()
            for line in self._log.lines() if stack else ():
                notify(line.decode(errors="replace"))
            return is_over or is_enough(stack)

        wait_until(look)
        code = self._keeper.poll()
        if code:
            raise self._failure(code)
        return self._state() if code is None else None

    def _state(self) -> Stack | None:
        stack = read_stack(self._home)
        return stack if stack is not None and stack.token == self._token else None

    def _failure(self, code: int) -> Exception:
        stack = self._state()
        if code == EXIT_TAKEN:
            return RecipeError(f"another process was first to start a stack in {self._home}; `sft status` shows it")
        if stack is not None and stack.error:
            return StackFailedError(stack.error)
        output = self._output.read_text(errors="replace").splitlines()
        return StackFailedError("\n".join([f"the keeper of the stack ended with exit code {code}", *output[-10:]]))


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
    processes = (running.owner, running.front)
    if not wait_until(lambda: all(why_dead(one, time.time()) for one in processes), seconds):
        raise StackFailedError(f"the stack has not ended in {seconds:.0f} s; see {logs_folder(home) / STACK_LOG}")
    return running


def _clean(home: Path) -> Stack | None:
    """End the processes that a killed keeper left, and remove its state file."""
    left = read_stack(home)
    if left is None or left.phase == "ended":
        return None
    end_all(left.token, SECONDS_OF_RUNS)
    (stack_folder(home) / "state.json").unlink(missing_ok=True)
    return left
