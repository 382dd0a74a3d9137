"""A Prefect server with our deployments, and a worker for each of the two pools."""

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests.warm import warm_python

if TYPE_CHECKING:
    from conftest import Workspace
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

POOLS = ("sft-cpu", "sft-gpu")
PATIENCE = 300.0
"""Seconds; a busy machine needs many of them to start a process."""


@dataclass(frozen=True)
class Team:
    """People who trigger runs of a workspace's deployments, and the workers that run them."""

    workspace: "Workspace"

    @contextlib.contextmanager
    def client(self) -> "Iterator[SyncPrefectClient]":
        """Prefect's own, which asks again where a server on one SQLite file answers 503 because that is locked."""
        from prefect.client.orchestration import SyncPrefectClient

        assert self.workspace.prefect_url is not None
        with SyncPrefectClient(self.workspace.prefect_url) as client:
            yield client

    def trigger(self, deployment: str, **parameters: Any) -> UUID:
        """Start a run as the UI does."""
        with self.client() as client:
            known = client.read_deployment_by_name(deployment)
            return client.create_flow_run_from_deployment(known.id, parameters=parameters).id

    def run(self, identity: UUID) -> "FlowRun":
        """As it stands."""
        with self.client() as client:
            return client.read_flow_run(identity)

    def wait(self, identity: UUID, is_there: "Callable[[FlowRun], bool]") -> "FlowRun":
        """Until a run has come so far."""
        run: FlowRun | None = None

        def has_come() -> bool:
            nonlocal run
            run = self.run(identity)
            return is_there(run)

        wait_until(has_come, lambda: f"{run}: {self.log(identity)}")
        assert run is not None
        return run

    def end(self, identity: UUID) -> "FlowRun":
        """Until a run has ended."""
        return self.wait(identity, lambda run: run.state is not None and run.state.is_final())

    def children(self, identity: UUID) -> "list[FlowRun]":
        """Runs that a run has started, the oldest first."""
        from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId

        ours = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[identity]))
        with self.client() as client:
            return sorted(client.read_flow_runs(flow_run_filter=ours), key=lambda run: run.created)

    def page(self, identity: UUID) -> str:
        """Where people look at a run."""
        assert self.workspace.prefect_url is not None
        return f"{self.workspace.prefect_url.removesuffix('/api')}/runs/flow-run/{identity}"

    def log(self, identity: UUID) -> str:
        """What a run has logged."""
        from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

        with self.client() as client:
            lines = client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[identity])))
        return "\n".join(line.message for line in lines)


def wait_until(is_so: Callable[[], bool], told: Callable[[], str] = lambda: "") -> None:
    """Ask every half second."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, told()
        time.sleep(0.5)


def hear_interrupts() -> None:
    """A shell lets what it starts in the background ignore Ctrl-C, and children inherit that: before they are started.
    A worker sends one to itself when it is asked to end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def fork_flow_runs(client: "SyncPrefectClient") -> None:
    """Let workers have the processes of flow runs forked (`tests.warm`) from one whose imports are done."""
    from prefect.client.schemas.actions import WorkPoolUpdate

    for pool in POOLS:
        template = client.read_work_pool(pool).base_job_template
        template["variables"]["properties"]["command"]["default"] = f"{warm_python()} -m prefect.engine"
        client.update_work_pool(pool, WorkPoolUpdate(base_job_template=template))


@contextlib.contextmanager
def working(workspace: "Workspace", pools: tuple[str, ...] = POOLS) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Start a worker for each pool; they are ended by their pids."""
    workers = []
    for pool in pools:
        environment = {
            **workspace.environment(),
            "PREFECT_HOME": str(workspace.folder / f"prefect-{pool}"),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
            "DO_NOT_TRACK": "1",
        }
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool]
        with (workspace.folder / f"{pool}.log").open("wb") as log:
            started = subprocess.Popen(
                command,
                cwd=workspace.folder,
                env=environment,
                stdout=log,
                stderr=log,
                preexec_fn=hear_interrupts,
            )
            workers.append(started)
    try:
        yield workers
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(180)  # it lets runs end that a schedule has begun


def make_checkout(workspace: "Workspace", recipe: dict[str, Any]) -> Path:
    """A folder that workers run in: recipes, and no code, which they find where it is."""
    import yaml

    (workspace.folder / "recipes").mkdir()
    (workspace.folder / "recipes" / "sums.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    (workspace.folder / "deployments").mkdir()
    return workspace.folder
