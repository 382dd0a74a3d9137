"""Failures that pass by themselves, and how often a stage is tried again for them.

What the Hub, a server or the network fails at now may succeed in a minute. A mistake in a recipe, data that cannot be
read, memory that does not suffice or a broken assertion will fail the same way again, so it is told at once.

    what failed                                      is tried again
    connection refused, reset, timed out             yes
    an answer of 429, or of 500 and above            yes
    MLflow is away, seen by a call of a task         yes
    MLflow was waited for in vain (`TrackerAwayError`)  no: that has taken ten minutes
    any other answer (401, 404, 422), any other error   no

An error says what caused it (`raise … from`), and our own words for people are put over a cause: so the whole chain is
looked at. Questions to the Hub that are asked outside of a stage are repeated by `sft_core.pretrained.hub` itself.
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
"""Seconds before each further attempt, four minutes in all."""
JITTER = 0.5
"""Each delay is made longer by up to this share, so that runs that failed together do not come back together."""


def retry_if_it_can_pass(task: "Task[..., Any]", run: TaskRun, state: "State[Any]") -> bool:
    """Prefect's question whether a task that failed is to be tried again."""
    try:
        state.result()
    except Exception as error:
        if not can_pass(error):
            return False
        if run.run_count <= len(RETRY_DELAYS):
            words = str(error).splitlines() or [""]
            delay = RETRY_DELAYS[run.run_count - 1]
            tell(
                f"{task.name} failed ({type(error).__name__}: {words[0][:200]}); it is tried again in about "
                f"{delay:.0f} s ({run.run_count} of {len(RETRY_DELAYS)})"
            )
        return True
    return False


def can_pass(error: BaseException) -> bool:
    """Whether the same work may succeed a little later, by what the error is or was caused by."""
    from tasks.tracking.outbox import is_outage  # beside MLflow, which takes seconds to import

    if isinstance(error, TrackerAwayError):
        return False
    return any(isinstance(one, httpx.TransportError) or is_outage(one) or is_hiccup(one) for one in causes(error))
