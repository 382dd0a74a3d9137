"""Calls to MLflow that arrive whenever it answers: at once, or in their order when it is back.

A call is kept until it succeeded. One whose answer was lost is made again, so each has to mean the same twice: tags and
files are written over, and MLflow keeps one of two points that agree in name, step, time and value.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence

import requests
from mlflow.exceptions import MlflowException

PLACEMENT = "It brings what was logged to MLflow, and waits where that is away."

Call = Callable[[], object]
AWAY = frozenset({"INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED", "DEADLINE_EXCEEDED"})
"""What MLflow calls a server that cannot be reached, is overloaded, or has lost its database."""


def is_outage(error: BaseException) -> bool:
    """Whether a call failed because MLflow is away, so that the same call may succeed later."""
    if isinstance(error, MlflowException):
        return error.error_code in AWAY
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return bool(error.response.status_code >= 500 or error.response.status_code == 429)
    return isinstance(error, requests.RequestException)


class Outbox:
    """Calls in their order, made by whoever finds the time; one is made at a time."""

    def __init__(self) -> None:
        self._waiting: deque[Call] = deque()
        self._at_work = threading.Lock()

    def post(self, call: Call) -> None:
        """Make a call now if MLflow answers, else keep it. Never waits for another thread that is at it: that one
        takes the call along.

        Raises:
            MlflowException: if MLflow answers that it will not have it.
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
        """Make all calls that wait, then some that are made anew each time and so are not kept.

        Raises:
            MlflowException: if MLflow is away (`is_outage`; nothing is lost), or will not have a call (which is
                forgotten).
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
