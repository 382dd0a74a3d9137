"""The process that keeps a stack running: it starts the parts, watches them, and shuts them down in order.

    sft up ──pipe──> keeper ──> prefect-server, mlflow-server, worker-cpu, worker-gpu ──> flow runs ──> trainers

It has a session of its own, so that a Ctrl-C in the terminal only reaches `sft up`, which asks the keeper to end. The
two watch each other: the keeper ends when the pipe from `sft up` breaks, and `sft up` ends the processes of a keeper
that was killed. Whichever of them is killed, no process is left.

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
from deployments.stack.services import WORKERS, Setting, services
from deployments.stack.state import Phase, Stack, keeping, logs_folder, read_stack, write_stack
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

    def __init__(self, setting: Setting, token: str, front: dict[str, str]) -> None:
        self._setting, self._token, self._home, self._front = setting, token, setting.home, front
        logs = logs_folder(self._home)
        logs.mkdir(parents=True, exist_ok=True)
        for log in logs.glob("*.log"):
            if log.stem != "up":  # belongs to `sft up`
                log.replace(log.with_suffix(".log.old"))
        self._log = (logs / STACK_LOG).open("a", encoding="utf-8", buffering=1)
        self._parts = [RunningPart(one, token, logs / f"{one.name}.log") for one in services(setting)]
        self._started_at = time.time()
        self._phase: Phase = "starting"
        self._num_signals = 0
        self._failure: str | None = None
        self._seconds_to_ready: float | None = None
        self._deployments: list[str] = []
        before = read_stack(self._home)
        self._paused = before.paused_pools if before else []
        self._written = ""

    def run(self) -> int:
        """Start the stack, keep it running and end it; return the exit code."""
        signal.signal(signal.SIGTERM, self._hear)
        signal.signal(signal.SIGINT, self._hear)
        self._setting.made.unlink(missing_ok=True)
        # only one process may create MLflow's database: two at once break each other's migration
        with contextlib.ExitStack() as making:
            making.enter_context(ArtifactStore(root=self._home).lock("mlflow"))
            try:
                while not self._is_over():
                    self._tick()
                    if self._part("mlflow-server").is_healthy:
                        making.close()
                    time.sleep(TICK_SECONDS)
            except Exception as error:  # the parts must be ended whatever happens here
                self._failure = f"the keeper failed: {type(error).__name__}: {error}"
                self._say(self._failure)
        self._end()
        return EXIT_FAILED if self._failure else 0

    def _hear(self, number: int, frame: object) -> None:
        self._num_signals += 1

    def _is_over(self) -> bool:
        return bool(self._num_signals or self._failure or _is_deserted())

    def _tick(self) -> None:
        for part in self._parts:
            if part.is_done:
                continue
            if part.process is None and time.time() >= part.may_start_at and part.service.is_startable():
                part.start()
            elif part.has_died:
                self._bury(part)
            elif part.check() and part.num_restarts + (self._phase == "running"):
                self._say(f"{part.service.name} {'works' if part.is_healthy else 'does not answer'}")
        if self._phase == "starting":
            self._look_whether_all_is_up()
        self._write()

    def _look_whether_all_is_up(self) -> None:
        waiting = [part.service.name for part in self._parts if not (part.is_healthy or part.is_done)]
        if not waiting:
            self._phase, self._seconds_to_ready = "running", time.time() - self._started_at
            self._deployments = json.loads(self._setting.made.read_text())
            self._resume_pools()
        elif time.time() - self._started_at > SECONDS_TO_START:
            self._fail(f"{', '.join(waiting)} did not come up in {SECONDS_TO_START:.0f} s", self._part(waiting[0]))

    def _bury(self, part: RunningPart) -> None:
        name, code = part.service.name, part.exit_code
        if part.service.is_task and code == 0:
            part.is_done = True
        elif part.service.is_server or part.service.is_task:
            self._fail(f"{name} ended with exit code {code}", part)
        else:
            orphans = [one for one in marked(self._token) if one.is_flow_run and one.part == name]
            tell(orphans, signal.SIGTERM, self._token)
            runs = f"; flow runs of it that are asked to end: {len(orphans)}" if orphans else ""
            words = part.last_words()
            pause = part.plan_restart()
            self._say(
                f"{name} ended with exit code {code}; started again in {pause:.0f} s{runs}. Its log ends:\n{words}"
            )

    def _fail(self, what: str, part: RunningPart) -> None:
        self._failure = f"{what}; the end of {part.log}:\n{part.last_words()}"
        self._say(self._failure)

    def _end(self) -> None:
        self._phase = "ending"
        self._say("ending")
        self._pause_pools()
        self._write()
        before = max(self._num_signals, 1)
        end_flow_runs(self._token, SECONDS_OF_RUNS, lambda: self._num_signals > before, self._say)
        end_parts([part for part in self._parts if part.service.name in WORKERS])
        end_parts(self._parts)
        end_all(self._token, 0.0)
        self._phase = "ended"
        for part in self._parts:
            part.is_done = True
        self._write()
        self._say("ended")

    def _pause_pools(self) -> None:
        """Pause the work pools so that no new run starts; pools that a user paused are not resumed later."""
        self._paused = []
        for pool in WORKERS.values():
            with contextlib.suppress(OSError):
                address = f"{self._setting.prefect_url}/api/work_pools/{pool}"
                if not ask(address)["is_paused"]:
                    ask(address, {"is_paused": True}, method="PATCH")
                    self._paused.append(pool)

    def _resume_pools(self) -> None:
        for pool in self._paused:
            with contextlib.suppress(OSError):
                ask(f"{self._setting.prefect_url}/api/work_pools/{pool}", {"is_paused": False}, method="PATCH")
        self._paused = []

    def _part(self, name: str) -> RunningPart:
        return next(part for part in self._parts if part.service.name == name)

    def _say(self, message: str) -> None:
        self._log.write(f"{time.strftime('%H:%M:%S')} {message}\n")

    def _write(self) -> None:
        setting = self._setting
        stack = Stack(
            token=self._token,
            owner=owner_tags(),
            front=self._front,
            started_at=self._started_at,
            phase=self._phase,
            prefect_url=setting.prefect_url,
            mlflow_url=setting.mlflow_url,
            prefect_port=setting.prefect_port,
            mlflow_port=setting.mlflow_port,
            database=setting.databases.words,
            store=setting.databases.store,
            seconds_to_ready=self._seconds_to_ready,
            parts=[part.described() for part in self._parts],
            deployments=self._deployments,
            paused_pools=self._paused,
            error=self._failure,
        )
        content = stack.model_dump_json(exclude={"owner"})
        if content != self._written:
            self._written = content
            write_stack(self._home, stack)


def _is_deserted() -> bool:
    """Return True if `sft up`, at the other end of standard input, has ended."""
    readable, _, _ = select.select([sys.stdin.buffer], [], [], 0)
    return bool(readable) and not os.read(sys.stdin.fileno(), 1)


def main() -> int:
    """Keep the stack that the first line on standard input describes."""
    words = json.loads(sys.stdin.buffer.readline())
    home, front = Path(words.pop("home")), words.pop("front")
    setting = Setting(home=home, databases=Databases(**words.pop("databases")), **words)
    token = os.environ.pop(TOKEN_VARIABLE)
    with keeping(home) as is_mine:
        if not is_mine:
            return EXIT_TAKEN
        before = read_stack(home)
        if before is not None and before.phase != "ended":
            end_all(before.token, SECONDS_OF_RUNS)  # its keeper was killed, and its processes are left
        return Keeper(setting, token, front).run()


if __name__ == "__main__":
    sys.exit(main())
