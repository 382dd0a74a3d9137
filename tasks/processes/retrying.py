"""Retries of stages after temporary failures.

A call to the Hub, to a server or over the network that fails now may succeed in a minute. A mistake in a recipe,
unreadable data, too little memory or a failed assertion will fail again in the same way, so it is reported at once.

    failure                                             retried
    connection refused, reset, timed out                yes
    response status 429, or 500 and above               yes
    MLflow is unreachable for a call of a task          yes
    MLflow stayed unreachable (`TrackerAwayError`)      no: that has already taken ten minutes
    any other status (401, 404, 422), any other error   no

Errors of this project are raised from the error that caused them (`raise … from`), so the whole chain of causes is
examined. Requests to the Hub that are made outside of a stage are retried by `sft_core.pretrained.hub` itself.
"""

from typing import Any

import httpx
from prefect import Task
from prefect.client.schemas.objects import State, TaskRun

from sft_core.errors import TrackerAwayError
from sft_core.processes.hiccups import causes, is_hiccup
from tasks.progress import tell

PLACEMENT = "It decides when work is tried again."

RETRY_DELAYS = [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
"""Seconds before each retry, about four minutes in total."""
JITTER = 0.5
"""Fraction by which a delay is lengthened at most, at random, so that runs that failed together retry at different
times."""


def retry_if_it_can_pass(task: "Task[..., Any]", run: TaskRun, state: "State[Any]") -> bool:
    """Return True if Prefect should retry a failed task (a `retry_condition_fn`), and show a notice about the retry."""
    try:
        state.result()
    except Exception as error:
        if not can_pass(error):
            return False
        if run.run_count <= len(RETRY_DELAYS):
            lines = str(error).splitlines() or [""]
            delay = RETRY_DELAYS[run.run_count - 1]
            tell(
                f"{task.name} failed ({type(error).__name__}: {lines[0][:200]}); it is retried in about "
                f"{delay:.0f} s ({run.run_count} of {len(RETRY_DELAYS)})"
            )
        return True
    return False


def can_pass(error: BaseException) -> bool:
    """Return True if an error, or one that caused it, is temporary, so that the same work may succeed later."""
    from tasks.tracking.outbox import is_outage  # imports MLflow, which takes seconds

    if isinstance(error, TrackerAwayError):
        return False
    return any(isinstance(one, httpx.TransportError) or is_outage(one) or is_hiccup(one) for one in causes(error))
