"""The process that keeps a stack running: it starts the parts, watches them, and shuts them down in order.

    sft up ──pipe──> keeper ──> prefect-server, mlflow-server, worker-cpu, worker-gpu ──> flow runs ──> trainers

It has a session of its own, so that a Ctrl-C in the terminal only reaches `sft up`, which asks the keeper to end. The
two watch each other: the keeper ends when the pipe from `sft up` breaks, and `sft up` ends the processes of a keeper
that was killed. Whichever of them is killed, no process is left. With `--detach`, `sft up` ends when the stack is up,
and the keeper stays. If it is killed then, its parts get SIGTERM from the kernel, and the next `sft up` or `sft down`
ends what is left.

The shutdown has an order. Work pools are paused, so that no new run starts. Flow runs are asked to end, and their
trainers save a checkpoint. Then workers end, and last the servers, which the flow runs needed until then. After a
second signal, flow runs are killed without waiting.

A worker that dies is started again after a pause, which doubles each time; its flow runs are asked to end first. If a
server dies, the stack ends.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from pathlib import Path

from deployments.stack.addresses import ask
from deployments.stack.databases import Databases
from deployments.stack.processes import TOKEN_VARIABLE, end_all, end_flow_runs, marked, tell
from deployments.stack.running import RunningPart, end_parts
from deployments.stack.services import MLFLOW_SERVER, WORKERS, StackSetting, services
from deployments.stack.state import Stack, keeping, logs_folder, read_stack, write_stack
from sft_core.store.artifact import ArtifactStore
from tasks.processes.launching import SECONDS_TO_SAVE
from tasks.processes.owners import owner_tags

EXIT_FAILED, EXIT_TAKEN = 1, 3
TICK_SECONDS = 0.1
SECONDS_TO_START = 300.0
SECONDS_OF_RUNS = SECONDS_TO_SAVE + 60.0
"""Maximum time for flow runs to end: their trainers save, then the end is recorded in MLflow and Prefect."""
STACK_LOG = "stack.log"


class Keeper:
    """Keeper of one stack, until it is asked to end or a part fails."""

    def __init__(self, setting: StackSetting, token: str, front: dict[str, str], is_detached: bool) -> None:
        self._setting, self._is_detached = setting, is_detached
        logs = logs_folder(setting.home)
        logs.mkdir(parents=True, exist_ok=True)
        for log in logs.glob("*.log"):
            log.replace(log.with_suffix(".log.old"))
        self._log = (logs / STACK_LOG).open("a", encoding="utf-8", buffering=1)
        self._parts = {one.name: RunningPart(one, token, logs / f"{one.name}.log") for one in services(setting)}
        before = read_stack(setting.home)
        self._stack = Stack(
            token=token,
            owner=owner_tags(),
            front=front,
            started_at=time.time(),
            prefect_url=setting.prefect_url,
            mlflow_url=setting.mlflow_url,
            prefect_port=setting.prefect_port,
            mlflow_port=setting.mlflow_port,
            database=setting.databases.words,
            store=setting.databases.store,
            paused_pools=before.paused_pools if before else [],
        )
        self._written: Stack | None = None
        self._num_signals = 0

    def run(self) -> int:
        """Start the stack, keep it running and end it; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)
        self._setting.made.unlink(missing_ok=True)
        # only one process may create MLflow's database: two at once break each other's migration
        with contextlib.ExitStack() as making:
            making.enter_context(ArtifactStore(root=self._setting.home).lock("mlflow"))
            try:
                while not self._is_over():
                    self._tick()
                    if self._parts[MLFLOW_SERVER].is_healthy:
                        making.close()
                    time.sleep(TICK_SECONDS)
            except Exception as error:  # the parts must be ended whatever happens here
                self._fail(f"the keeper failed: {type(error).__name__}: {error}")
        self._end()
        return EXIT_FAILED if self._stack.error else 0

    def _hear(self, number: int, frame: object) -> None:
        self._num_signals += 1

    def _is_over(self) -> bool:
        """Return True if the stack has to end; a detached one that is up stays when `sft up` ends."""
        is_alone = self._is_detached and self._stack.phase == "running"
        return bool(self._num_signals or self._stack.error or (not is_alone and _is_deserted()))

    def _tick(self) -> None:
        for name, part in self._parts.items():
            if part.is_done:
                continue
            if part.process is None and time.time() >= part.may_start_at and part.service.is_startable():
                part.start()
            elif part.exit_code is not None:
                self._bury(name, part, part.exit_code)
            elif part.check() and (part.num_restarts or self._stack.phase == "running"):
                self._say(f"{name} {'works' if part.is_healthy else 'does not answer'}")
        if self._stack.phase == "starting":
            self._look_whether_all_is_up()
        self._write()

    def _look_whether_all_is_up(self) -> None:
        stack, seconds = self._stack, time.time() - self._stack.started_at
        waiting = [name for name, part in self._parts.items() if not (part.is_healthy or part.is_done)]
        if not waiting:
            stack.phase, stack.seconds_to_ready = "running", seconds
            stack.deployments = json.loads(self._setting.made.read_text())
            while stack.paused_pools:
                self._pause(stack.paused_pools.pop(), False)
        elif seconds > SECONDS_TO_START:
            self._fail(f"{', '.join(waiting)} did not come up in {SECONDS_TO_START:.0f} s", self._parts[waiting[0]])

    def _bury(self, name: str, part: RunningPart, code: int) -> None:
        if part.service.is_task and code == 0:
            part.is_done = True
        elif part.service.is_server or part.service.is_task:
            self._fail(f"{name} ended with exit code {code}", part)
        else:
            orphans = [one for one in marked(self._stack.token) if one.is_flow_run and one.part == name]
            tell(orphans, signal.SIGTERM)
            runs = f"; flow runs of it that are asked to end: {len(orphans)}" if orphans else ""
            message = f"{name} ended with exit code {code}; started again in {part.plan_restart():.0f} s{runs}"
            self._say(f"{message}. Its log ends:\n{part.last_words()}")

    def _fail(self, what: str, part: RunningPart | None = None) -> None:
        self._stack.error = f"{what}; the end of {part.log}:\n{part.last_words()}" if part else what
        self._say(self._stack.error)

    def _end(self) -> None:
        self._stack.phase = "ending"
        self._say("ending")
        # pools that a user paused are not paused by the stack, so that the next one does not resume them
        self._stack.paused_pools = [pool for pool in WORKERS.values() if self._pause(pool, True)]
        self._write()
        token, before = self._stack.token, max(self._num_signals, 1)
        end_flow_runs(token, SECONDS_OF_RUNS, lambda: self._num_signals > before, self._say)
        end_parts([self._parts[name] for name in WORKERS])
        end_parts([*self._parts.values()])
        end_all(token, 0.0)
        for part in self._parts.values():
            part.is_done = True
        self._stack.phase = "ended"
        self._write()
        self._say("ended")

    def _pause(self, pool: str, is_paused: bool) -> bool:
        """Pause or resume a work pool; return False if it already was, or if Prefect does not answer."""
        address = f"{self._stack.prefect_api}/work_pools/{pool}"
        with contextlib.suppress(OSError):
            if ask(address)["is_paused"] != is_paused:
                ask(address, {"is_paused": is_paused}, method="PATCH")
                return True
        return False

    def _say(self, message: str) -> None:
        self._log.write(f"{time.strftime('%H:%M:%S')} {message}\n")

    def _write(self) -> None:
        self._stack.parts = [part.described() for part in self._parts.values()]
        if self._stack != self._written:
            write_stack(self._setting.home, self._stack)
            self._written = self._stack.model_copy(deep=True)


def _is_deserted() -> bool:
    """Return True if `sft up`, at the other end of standard input, has ended."""
    readable, _, _ = select.select([sys.stdin.buffer], [], [], 0)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def main() -> int:
    """Keep the stack that the first line on standard input describes."""
    message = json.loads(sys.stdin.buffer.readline())
    home, front, is_detached = Path(message.pop("home")), message.pop("front"), message.pop("is_detached")
    setting = StackSetting(home=home, databases=Databases(**message.pop("databases")), **message)
    token = os.environ.pop(TOKEN_VARIABLE)
    with keeping(home) as is_mine:
        if not is_mine:
            return EXIT_TAKEN
        before = read_stack(home)
        if before is not None and before.phase != "ended":
            end_all(before.token, SECONDS_OF_RUNS)  # its keeper was killed, and its processes are left
        return Keeper(setting, token, front, is_detached).run()


if __name__ == "__main__":
    sys.exit(main())
