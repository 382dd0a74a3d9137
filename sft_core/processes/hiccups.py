"""Temporary failures of a network: broken connections, and servers that ask for a later retry."""

import errno
import ssl
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

PLACEMENT = "It decides when a request is sent again."

Answer = TypeVar("Answer")
DELAYS = (1.0, 4.0)
"""Seconds to wait before the second and the third attempt at a short request."""
TOO_MANY_REQUESTS, SERVER_ERROR = 429, 500
_NETWORK = frozenset(
    {errno.ENETDOWN, errno.ENETUNREACH, errno.ENETRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT}
)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its `__cause__`, the cause of that, and so on."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def is_hiccup(error: BaseException) -> bool:
    """Return True for a temporary error: a broken connection, or an HTTP status of 429 or of 500 and above.

    Only the error itself is judged, not its causes. Every HTTP library stores the server's answer as `response`; an
    HTTP error without one is a failure of the connection.
    """
    # the base class of HTTP errors of whichever httpx the Hub's client uses
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # type: ignore[attr-defined]

    if isinstance(error, ssl.SSLCertVerificationError | OfflineModeIsEnabled):
        return False
    if (code := _answered(error)) is not None:
        return code == TOO_MANY_REQUESTS or code >= SERVER_ERROR
    if isinstance(error, ConnectionError | TimeoutError | HTTPError):
        return True
    return isinstance(error, OSError) and error.errno in _NETWORK


def patiently(ask: Callable[[], Answer]) -> Answer:
    """Send a request, and retry it up to twice if the server answers with a temporary error (429, 5xx).

    A server that cannot be reached is not asked again: without a network, nobody wants to wait.
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
    """Return the HTTP status code of an error; None if the server sent no answer."""
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None
