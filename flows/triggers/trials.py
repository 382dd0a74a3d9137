"""The trials of a sweep, run one after the other, or in parallel if a deployment trains.

A trial that fails is a result like any other: it is reported, and the others continue. Only a cancellation, a signal to
the trainer to end, or an outage of MLflow ends the sweep itself. The same sweep, started again, reuses the trials that
were finished.
"""

import contextvars
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterParentFlowRunId
from prefect.logging import get_run_logger
from prefect.runtime import flow_run
from prefect.states import Cancelling
from pydantic import BaseModel

from flows.prepare_data import prepare_data
from flows.reports.run_report import RunReport
from flows.triggers.placement import run_sft
from sft_core.errors import StageInterruptedError, TrackerAwayError
from sft_core.recipe import Recipe
from sft_core.recipe.sweep.options import as_sets
from sft_core.recipe.sweep.space import Overrides

ERROR_CHARS = 2000


class Trial(BaseModel):
    """One trial and its result."""

    number: int
    """Number of the trial, from 1."""
    overrides: dict[str, Any]
    """Dotted path → value."""
    status: Literal["completed", "failed"]
    score: float | None = None
    """Score that trials are compared by; None for a failed trial."""
    low: float | None = None
    """Lower end of the score's 95 % interval; None if the score has no interval."""
    high: float | None = None
    """Upper end of the interval."""
    loss: float | None = None
    """Value of `eval_loss`, whichever score is compared."""
    seconds: float | None = None
    """Duration of the training."""
    mlflow_run_id: str | None = None
    model_uri: str | None = None
    error: str | None = None


Result = TypeVar("Result")
Asked = tuple[int, Overrides, Recipe]
"""Number, overrides and recipe of a trial."""


Then = Callable[[Recipe, Trial], Trial]
"""Function called with a trial as soon as it has ended; it returns the trial, possibly changed."""


def run_all(asked: Sequence[Asked], metric: str, at_once: int, train_on: str | None, then: Then) -> list[Trial]:
    """Run trials, and return their results in the same order.

    Args:
        asked: The trials to run.
        metric: Score that they are compared by.
        at_once: Number of trials that run at once if a deployment trains; in this process it is always one.
        train_on: FLOW/DEPLOYMENT that trains, as in `run_sft`; None trains in this process.
        then: Function called with the recipe and the result of each trial as soon as it has ended.
    """

    def run_one(one: Asked) -> Trial:
        return then(one[2], _run(one, metric, train_on))

    if train_on is None or at_once == 1:
        return [run_one(one) for one in asked]
    ready = [_prepare(one) for one in asked]
    with ThreadPoolExecutor(at_once, thread_name_prefix="trial") as threads:
        started = [
            threads.submit(contextvars.copy_context().run, run_one, one)
            for one, trial in zip(asked, ready, strict=True)
            if trial is None
        ]
        try:
            ran = iter([future.result() for future in started])
        except BaseException:  # Prefect's signal of termination reaches this thread alone
            threads.shutdown(wait=False, cancel_futures=True)
            _cancel_children()
            raise
    return [trial or next(ran) for trial in ready]


def _run(asked: Asked, metric: str, train_on: str | None) -> Trial:
    return _caught(asked, lambda: _completed(asked, metric, run_sft(asked[2], train_on)))


def _prepare(asked: Asked) -> Trial | None:
    """Prepare the data of a trial in this thread; return a failed trial if that fails, else None.

    Trials are prepared one after the other, as preparing one data set uses all cores already.
    """
    prepared = _caught(asked, lambda: prepare_data(asked[2]))
    return prepared if isinstance(prepared, Trial) else None


def _caught(asked: Asked, work: Callable[[], Result]) -> Result | Trial:
    number, overrides, _ = asked
    try:
        return work()
    except (StageInterruptedError, TrackerAwayError):
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"[:ERROR_CHARS]
        get_run_logger().warning("trial %d (%s) failed: %s", number, ", ".join(as_sets(overrides)), message)
        return Trial(number=number, overrides=overrides, status="failed", error=message)


def _completed(asked: Asked, metric: str, report: RunReport) -> Trial:
    number, overrides, _ = asked
    interval = report.intervals.get(metric, {})
    score, error = report.scorecard.get(metric), None
    if score is None:
        error = f"no score is called {metric}; there are {', '.join(report.scorecard)}"
    elif not math.isfinite(score):
        score, error = None, f"{metric} is {score}"
    return Trial(
        number=number,
        overrides=overrides,
        status="failed" if score is None else "completed",
        score=score,
        low=interval.get("low"),
        high=interval.get("high"),
        loss=report.scorecard.get("eval_loss"),
        seconds=report.training["seconds"],
        mlflow_run_id=report.mlflow_run_id,
        model_uri=report.model_uri,
        error=error,
    )


def _cancel_children() -> None:
    """Cancel the runs that this flow run waits for, so that the threads that poll their states end."""
    ours = FlowRunFilter(parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[flow_run.id]))
    with get_client(sync_client=True) as client:
        for run in client.read_flow_runs(flow_run_filter=ours):
            if run.deployment_id and run.state and not run.state.is_final():
                client.set_flow_run_state(run.id, Cancelling(message="The sweep that waited for this run ended."))
