"""A Prefect server with a work pool, a deployment of `sft`, automations and a worker, whose processes can be killed."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import yaml
from conftest import PROJECT, Workspace, make_workspace

from deployments.environment import SERVER_ENVIRONMENT
from tests.prefect_servers import prefect_server

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

NUM_STEPS, SAVE_STEPS = 600, 10
POOL = LIMIT = "sft-gpu"


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

    def __init__(self, folder: Path, workspace: Workspace, client: "SyncPrefectClient", notified: Notified) -> None:
        self.folder, self.workspace, self.client, self.notified = folder, workspace, client, notified
        self.worker: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        from deployments.environment import HEARTBEAT_ENVIRONMENT

        quiet = {"PREFECT_HOME": str(self.folder), "DO_NOT_TRACK": "1", **HEARTBEAT_ENVIRONMENT}
        return {**self.workspace.environment(), **quiet, "PREFECT_API_URL": str(self.client.api_url).rstrip("/")}

    def start_worker(self) -> None:
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--name", "w"]
        with (self.folder / "worker.log").open("ab") as log:
            self.worker = subprocess.Popen(
                command, env=self.environment(), stdout=log, stderr=log, cwd=self.workspace.folder
            )

    def kill_worker(self) -> None:
        assert self.worker is not None
        self.worker.kill()
        self.worker.wait(60)

    def start_run(self) -> UUID:
        deployment = self.client.read_deployment_by_name("sft/sft")
        return self.client.create_flow_run_from_deployment(deployment.id, parameters={"recipe": recipe(self)}).id

    def retry(self, run: UUID) -> None:
        """As the UI does."""
        from prefect.states import AwaitingRetry

        self.client.set_flow_run_state(run, AwaitingRetry(), force=True)

    def cancel(self, run: UUID) -> None:
        from prefect.states import Cancelling

        self.client.set_flow_run_state(run, Cancelling())

    def state(self, run: UUID) -> str:
        return str(self.client.read_flow_run(run).state.name)

    def slots_taken(self) -> int:
        return int(self.client.read_global_concurrency_limit_by_name(LIMIT).active_slots)

    def events(self, name: str) -> list[dict[str, Any]]:
        body = {"filter": {"event": {"name": [name]}}, "limit": 50}
        return list(self.client.request("POST", "/events/filter", json=body).json()["events"])


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


def deploy(stack: Stack) -> None:
    """A pool, the GPU's limit, a deployment by module path, a webhook, and all automations."""
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.workers.process import ProcessWorker

    template = ProcessWorker.get_default_base_job_template()
    stack.client.create_work_pool(WorkPoolCreate(name=POOL, type="process", base_job_template=template))
    stack.client.upsert_global_concurrency_limit_by_name(LIMIT, 1)
    stack.client.create_deployment(
        flow_id=stack.client.create_flow_from_name("sft"),
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
        [sys.executable, "-c", script],
        env=stack.environment(),
        capture_output=True,
        text=True,
        cwd=PROJECT,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines() == [
        "sft: dead runs",
        "sft: tell of failed runs",
        "sft: tell of refused models",
        "sft: tell of new champions",
    ]
    assert len(stack.client.read_automations()) == 4, "made once, brought up to date the second time"


@contextmanager
def running_stack(new_folder: Callable[[str], Path]) -> Iterator[Stack]:
    from prefect.client.orchestration import SyncPrefectClient

    folder = new_folder("life-server")
    with ExitStack() as opened:
        url = opened.enter_context(prefect_server(folder, settings=SERVER_ENVIRONMENT))
        client = opened.enter_context(SyncPrefectClient(url))
        notified = opened.enter_context(Notified())
        threading.Thread(target=notified.serve_forever, daemon=True).start()
        opened.callback(notified.shutdown)
        running = Stack(folder, make_workspace(new_folder("life"), url, is_forked=False), client, notified)
        deploy(running)
        running.start_worker()
        try:
            yield running
        finally:
            running.kill_worker()
            for pid in processes(running):
                os.kill(pid, signal.SIGKILL)


def processes(stack: Stack, words: str = "", of_hooks: bool = False) -> dict[int, str]:
    """Living processes that work on the workspace, told by a mark in their environment: pid → command; the worker, and
    what it starts to look for hooks, do not; or, with `of_hooks`, just the latter."""
    mark, found = f"SFT_HOME={stack.workspace.home}\0".encode(), {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            is_ours = "worker start" not in command and ("bootstrap.py hook" in command) == of_hooks
            if mark in (process / "environ").read_bytes() and words in command and is_ours:
                found[int(process.name)] = command
        except OSError:
            continue
    return found
