"""Queue of calls to MLflow, which are made at once, or in their order when MLflow is reachable again.

A call is kept until it succeeds. A call whose response was lost is made again, so every call has to be idempotent: tags
and files are overwritten, and MLflow keeps one of two points with the same name, step, time and value.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

import requests
from mlflow.exceptions import MlflowException

PLACEMENT = "It sends what was logged to MLflow, and keeps it during an outage."

Call = Callable[[], object]
AWAY = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"})
"""MLflow's error codes for a server that cannot be reached, is overloaded, or has lost its database."""


def is_outage(error: BaseException) -> bool:
    """Return True if a call failed because MLflow is unreachable, so that the same call may succeed later."""
    if isinstance(error, MlflowException):
        return error.error_code in AWAY
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return bool(error.response.status_code >= 500 or error.response.status_code == 429)
    return isinstance(error, requests.RequestException)


class Outbox:
    """Queue of calls, which any thread may make; one call is made at a time, in order."""

    def __init__(self) -> None:
        self._waiting: deque[Call] = deque()
        self._at_work = threading.Lock()

    def post(self, call: Call) -> None:
        """Make a call now if MLflow is reachable, else keep it.

        If another thread is making calls, this does not wait for it; that thread also makes this call.

        Raises:
            MlflowException: if MLflow rejects the call.
        """
        self._waiting.append(call)
        if self._at_work.acquire(blocking=False):
            try:
                self._work_off(())
            except Exception as error:
                if not is_outage(error):
                    raise
            finally:
                self._at_work.release()

    def deliver(self, also: Sequence[Call] = ()) -> None:
        """Make all calls of the queue.

        Args:
            also: Further calls, which are made last and are not kept if they fail.

        Raises:
            MlflowException: if MLflow is unreachable (`is_outage`; the queue is kept), or if it rejects a call (which
                is then removed from the queue).
        """
        with self._at_work:
            self._work_off(also)

    def _work_off(self, also: Sequence[Call]) -> None:
        while self._waiting:
            try:
                self._waiting[0]()
            except Exception as error:
                if not is_outage(error):
                    self._waiting.popleft()
                raise
            self._waiting.popleft()
        for call in also:
            call()
