"""Choice of where a recipe is trained: in this flow run, or in a run of a deployment whose work pool has the GPUs.

    this run, CPU pool   prepare-data ──▶ trigger ······ waits ······▶ report
    its child, GPU pool                      └▶ sft: data found, train, evaluate, register ┘

The child belongs to this run: Prefect shows each on the other's page, a cancelled parent cancels it, and a parent that
is run again reuses the child that still runs or has completed, and starts another if that failed or was cancelled.
"""

import itertools
import time

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterIdempotencyKey
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelling
from prefect.utilities.urls import url_for

from flows.prepare_data import prepare_data
from flows.reports.report_file import read_report, report_file
from flows.reports.run_report import RunReport
from flows.sft import sft
from sft_core.errors import RecipeError, StageFailedError
from sft_core.recipe import Recipe
from sft_core.recipe.run_names import run_name
from sft_core.store.fingerprint import digest
from tasks.home import open_store
from tasks.processes.retrying import can_pass

POLL_SECONDS = 2.0


def run_sft(recipe: Recipe, train_on: str | None = None) -> RunReport:
    """Run a recipe from inside a flow run: in this process, or in a deployment after the data was prepared here.

    Args:
        recipe: The recipe to run.
        train_on: FLOW/DEPLOYMENT that runs the recipe; its worker has to share this state directory. None runs it in
            this process.

    Raises:
        RecipeError: if there is no such deployment.
        StageFailedError: if the deployment's run did not complete; the error has its name, its message and its page.
    """
    if train_on is None:
        return sft(recipe)
    with get_client(sync_client=True) as client:
        _check_deployment(client, train_on)
        prepare_data(recipe)
        child = _Child(client, recipe, train_on)
        try:
            ended = child.wait(child.start())
        except BaseException:  # Prefect's signal of termination is not an Exception
            child.cancel()
            raise
    return _report_of(recipe, ended, train_on)


class _Child:
    """Run of a deployment that this flow run waits for."""

    def __init__(self, client: SyncPrefectClient, recipe: Recipe, train_on: str) -> None:
        self._client, self._train_on = client, train_on
        self._name = run_name(recipe)
        self._parameters = {"recipe": recipe.model_dump(mode="json")}
        self._identity = f"{flow_run.id}-{digest(self._parameters)}"
        self._keys: list[str] = []

    def start(self) -> FlowRun:
        """Start the run, or find the one that an earlier try of this flow run has started."""
        for attempt in itertools.count():
            key = f"{self._identity}-{attempt}"
            self._keys.append(key)
            started = run_deployment(
                self._train_on,
                parameters=self._parameters,
                flow_run_name=self._name,  # without it the run has another name while it waits for the GPU
                timeout=0,
                idempotency_key=key,
            )
            assert isinstance(started, FlowRun)  # a coroutine is returned only inside a running event loop
            if _is_cancelling(started):
                started = self.wait(started)
            if started.state is None or not started.state.is_final() or started.state.is_completed():
                get_run_logger().info("run '%s' of %s: %s", started.name, self._train_on, url_for(started))
                return started
        raise AssertionError("count() does not end")

    def wait(self, started: FlowRun) -> FlowRun:
        """Poll the state of the run until it is final, also through an outage of the server (the run continues)."""
        current = started
        while current.state is None or not current.state.is_final():
            time.sleep(POLL_SECONDS)
            try:
                current = self._client.read_flow_run(started.id)
            except Exception as error:
                if not can_pass(error):
                    raise
                get_run_logger().warning("Prefect does not answer, asking again: %s", error)
        return current

    def cancel(self) -> None:
        """Cancel all runs that were started here and have not ended."""
        ours = FlowRunFilter(idempotency_key=FlowRunFilterIdempotencyKey(any_=self._keys))
        for run in self._client.read_flow_runs(flow_run_filter=ours):
            if run.state is None or not (run.state.is_final() or _is_cancelling(run)):
                self._client.set_flow_run_state(run.id, Cancelling(message="The run that waited for this run ended."))


def _check_deployment(client: SyncPrefectClient, name: str) -> None:
    try:
        client.read_deployment_by_name(name)
    except (ObjectNotFound, ValueError) as error:
        raise RecipeError(
            f"train_on: expected FLOW/DEPLOYMENT, but the server at {client.api_url} has no deployment '{name}'; "
            "`sft deploy` makes it"
        ) from error


def _is_cancelling(run: FlowRun) -> bool:
    return run.state is not None and run.state.type == StateType.CANCELLING


def _report_of(recipe: Recipe, ended: FlowRun, train_on: str) -> RunReport:
    """Read the report of the child.

    Raises:
        StageFailedError: if the child did not complete, or its report is not in the state directory.
    """
    what = f"run '{ended.name}' of {train_on} ({url_for(ended)})"
    assert ended.state is not None
    if not ended.state.is_completed():
        raise StageFailedError(f"{what} ended as {ended.state.name}: {ended.state.message or 'no message'}")
    store = open_store(recipe.runtime)
    report = read_report(store, str(ended.id))
    if report is None:
        raise StageFailedError(
            f"{what} completed, but its report is not at '{report_file(store, str(ended.id))}': the workers of all "
            "pools have to share one state directory; set SFT_HOME, or runtime.home, to the same folder for all of them"
        )
    return report
