"""Failures of a network that pass by themselves: connections that broke, and servers that ask to come back later."""

import errno
import ssl
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

PLACEMENT = "It decides when a question is asked again."

Answer = TypeVar("Answer")
DELAYS = (1.0, 4.0)
"""Seconds before each further attempt at a short question."""
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
_NETWORK = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT}
)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error, what it names as its cause, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def is_hiccup(error: BaseException) -> bool:
    """Whether one error is of the kind that passes: a broken connection, or an answer of 429 or from 500 on.

    Every library for HTTP says in `response` what was answered; one without is of the connection.
    """
    # of whichever httpx the Hub's client runs on
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    if isinstance(error, ssl.SSLCertVerificationError | OfflineModeIsEnabled):
        return False
    if (code := _answered(error)) is not None:
        return code == TOO_MANY_REQUESTS or code >= SERVER_ERROR
    if isinstance(error, ConnectionError | TimeoutError | HTTPError):
        return True
    return isinstance(error, OSError) and error.errno in _NETWORK


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Ask a server, and once or twice more if it answers that it cannot now (429, 5xx).

    One that cannot be reached is not asked again: without a network, nobody wants to wait.
    """
    for delay in DELAYS:
        try:
            return ask()
        except Exception as error:
            if not any(is_hiccup(one) and _answered(one) is not None for one in causes(error)):
                raise
            time.sleep(delay)
    return ask()


def _answered(error: BaseException) -> int | None:
    """The status code of the answer that an error is about; None if there was none."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None
