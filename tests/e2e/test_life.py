"""Runs of a worker, and how they die: whatever ends one, nothing of it stays at work, the states are true, and the same
run, tried again from Prefect's API, goes on in the same MLflow run from its checkpoint.

One flow run is ended again and again and each time tried again, until it is let through. By default it is cancelled,
killed, and its trainer killed, in mid-training; in full size each ending meets each of five moments, and the worker and
everything at once are killed too.
"""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from conftest import OUTSIDE, PROJECT, Workspace, _wait_until_healthy, make_workspace

from tests.mlflow_servers import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
IS_FULL = os.environ.get("SFT_TEST_FULL") == "1"
NUM_STEPS, SAVE_STEPS = 600, 10
POOL = LIMIT = "sft-gpu"
ENDINGS = {"Cancelled", "Crashed", "Failed", "Completed"}
MOMENTS = ("preparation", "trainer start", "training", "evaluation", "registration")


class Notified(http.server.ThreadingHTTPServer):
    """Where notifications arrive."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.notices: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/notices"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Notified

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.notices.append(json.loads(body) if isinstance(body, str) else body)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


class Stack:
    """A server, a work pool with a deployment of `sft`, and a worker that can be killed and started again."""

    def __init__(self, folder: Path, workspace: Workspace, url: str, notified: Notified) -> None:
        self.folder, self.workspace, self.url, self.notified = folder, workspace, url, notified
        self.worker: subprocess.Popen[bytes] | None = None

    def client(self) -> Any:
        from prefect.client.orchestration import SyncPrefectClient

        return SyncPrefectClient(self.url)

    def environment(self) -> dict[str, str]:
        from deployments.environment import HEARTBEAT_ENVIRONMENT

        quiet = {"PREFECT_HOME": str(self.folder), "DO_NOT_TRACK": "1", **HEARTBEAT_ENVIRONMENT}
        return {**self.workspace.environment(), **quiet, "PREFECT_API_URL": self.url}

    def start_worker(self) -> None:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", "w"]
        with (self.folder / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                command, env=self.environment(), stdout=log, stderr=log, cwd=self.workspace.folder
            )

    def kill_worker(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait()

    def start_run(self) -> UUID:
        with self.client() as client:
            deployment = client.read_deployment_by_name("sft/sft")
            return client.create_flow_run_from_deployment(deployment.id, parameters={"recipe": recipe(self)}).id

    def retry(self, run: UUID) -> None:
        """As the UI does."""
        from prefect.states import AwaitingRetry

        with self.client() as client:
            client.set_flow_run_state(run, AwaitingRetry(), force=True)

    def cancel(self, run: UUID) -> None:
        from prefect.states import Cancelling

        with self.client() as client:
            client.set_flow_run_state(run, Cancelling())

    def state(self, run: UUID) -> str:
        with self.client() as client:
            return str(client.read_flow_run(run).state.name)

    def slots_taken(self) -> int:
        with self.client() as client:
            return int(client.read_global_concurrency_limit_by_name(LIMIT).active_slots)

    def events(self, name: str) -> list[dict[str, Any]]:
        with self.client() as client:
            body = {"filter": {"event": {"name": [name]}}, "limit": 50}
            return list(client.request("POST", "/events/filter", json=body).json()["events"])


def recipe(stack: Stack) -> dict[str, Any]:
    content = yaml.safe_load((stack.workspace.folder / "recipe.yaml").read_text())
    content["sources"][0]["path"] = str(stack.workspace.data)
    content["model"]["tokenizer"] = str(stack.workspace.folder / "tokenizer")
    content["training"] |= {
        "max_steps": NUM_STEPS,
        "logging_steps": 1,
        "save_steps": SAVE_STEPS,
        "save_total_limit": 2,
        "eval_strategy": "no",
        "eval_on_start": False,
    }
    content["evaluation"]["gen_kwargs"]["max_new_tokens"] = 32
    content["runtime"] = {"home": str(stack.workspace.home)}
    return content


@contextmanager
def prefect_server(folder: Path) -> Iterator[str]:
    from deployments.environment import SERVER_ENVIRONMENT

    port = free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OUTSIDE)}
    environment = {
        **clean,
        **SERVER_ENVIRONMENT,
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}/api"
    try:
        _wait_until_healthy(url, server, folder / "server.log")
        yield url
    finally:
        server.terminate()
        server.wait(30)


def deploy(stack: Stack) -> None:
    """A pool, the GPU's limit, a deployment by module path, a webhook, and all automations."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    with stack.client() as client:
        template = ProcessWorker.get_default_base_job_template()
        client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
        client.upsert_global_concurrency_limit_by_name(LIMIT, 1)
        client.create_deployment(
            flow_id=client.create_flow_from_name("sft"),
            name="sft",
            entrypoint="flows.sft.sft",
            work_pool_name=POOL,
            pull_steps=[{"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}],
        )
    script = f"""
import sys
from prefect.blocks.webhook import Webhook
Webhook(url={stack.notified.url!r}).save("ours")
from deployments.automations import make_automations
first, again = make_automations("webhook/ours"), make_automations("webhook/ours")
assert first == again, (first, again)
print(*first, sep=chr(10))
"""
    made = subprocess.run(
        [sys.executable, "-c", script], env=stack.environment(), capture_output=True, text=True, cwd=PROJECT
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [
        "sft: dead runs",
        "sft: tell of failed runs",
        "sft: tell of refused models",
        "sft: tell of new champions",
    ]
    with stack.client() as client:
        assert len(client.read_automations()) == 4, "made once, brought up to date the second time"


@contextmanager
def running_stack(new_folder: Callable[[str], Path]) -> Iterator[Stack]:
    folder = new_folder("life-server")
    with ExitStack() as opened:
        url = opened.enter_context(prefect_server(folder))
        notified = opened.enter_context(Notified())
        threading.Thread(target=notified.serve_forever, daemon=True).start()
        opened.callback(notified.shutdown)
        running = Stack(folder, make_workspace(new_folder("life"), url), url, notified)
        deploy(running)
        running.start_worker()
        try:
            yield running
        finally:
            running.kill_worker()
            for pid in processes(running):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def fresh_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One for each test: a workspace whose work is all to be done."""
    with running_stack(tmp_path_factory.mktemp) as running:
        yield running


def processes(stack: Stack, words: str = "") -> dict[int, str]:
    """Living processes that work on the workspace, told by a mark in their environment: pid → command; the worker, and
    what it starts to look for hooks, do not."""
    mark, found = f"SFT_HOME={stack.workspace.home}\0".encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            is_of_worker = "worker start" in command or "bootstrap.py hook" in command
            if mark in (process / "environ").read_bytes() and words in command and not is_of_worker:
                found[int(process.name)] = command
        except OSError:
            continue
    return found


def flow_process(stack: Stack) -> int:
    (pid,) = processes(stack, "prefect.engine")
    return pid


def wait_for(condition: Callable[[], object], what: str, seconds: float = 900) -> float:
    """Return how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"waited {seconds} s for {what}"
        time.sleep(0.05)
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
    assert "sft: sums ended as Crashed" in subjects
    assert "sft: sums ended as Failed" in subjects
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
