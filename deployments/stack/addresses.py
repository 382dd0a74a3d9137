"""Ports and addresses of servers, and their host names in links."""

import contextlib
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from sft_core.errors import RecipeError

LOOPBACK = "127.0.0.1"
WILDCARDS = ("0.0.0.0", "::")
SERVICE_UNAVAILABLE = 503
SECONDS_BETWEEN_REQUESTS = 0.2
_claims: dict[int, socket.socket] = {}
"""Ports that this process has reserved for the servers of its stack, which start to listen seconds later."""


def choose_port(host: str, wanted: int | None, usual: int, option: str) -> int:
    """Choose a port to listen on, and reserve it against other stacks on this machine while this process lives.

    Args:
        host: Address to listen on.
        wanted: Port that the user asked for; None if the user did not ask for one.
        usual: Port to use if the user did not ask for one; if it is not free, any free port is used.
        option: Name of the command line option, for error messages.

    Raises:
        RecipeError: if the port that the user asked for is not free, or the machine does not have the address.
    """
    if wanted is not None:
        if not _take(host, wanted):
            raise RecipeError(
                f"{option}: expected a free port, found {host}:{wanted} in use or reserved by another stack; "
                f"choose another, or omit {option} to use any free port"
            )
        return wanted
    if _take(host, usual):
        return usual
    while True:
        with _socket(host) as free:
            free.bind((host, 0))
            port = int(free.getsockname()[1])
        if _claim(port):
            return port


def _take(host: str, port: int) -> bool:
    return _is_free(host, port) and _claim(port)


def _claim(port: int) -> bool:
    """Reserve a port; return False if another process has reserved it.

    Two stacks that are started at the same time both see a free port. So each binds a Unix socket named after the port
    in Linux's abstract namespace. The kernel removes it when the process ends, however it ends.
    """
    if port in _claims:
        return True
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0sft-port-{port}")
    except OSError:
        name.close()
        return False
    _claims[port] = name
    return True


def _is_free(host: str, port: int) -> bool:
    with _socket(host) as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except socket.gaierror as error:
            raise RecipeError(
                f"--host: expected an address of this machine, found '{host}': {error.strerror}"
            ) from error
        except PermissionError as error:
            raise RecipeError(f"port {port}: only root may listen below 1024; choose a higher one") from error
        except OSError as error:
            if error.errno == 99:  # EADDRNOTAVAIL
                raise RecipeError(f"--host: expected an address of this machine, found '{host}'") from error
            return False
    return True


def _socket(host: str) -> socket.socket:
    return socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)


def public_name(host: str) -> str:
    """Return the host name for links to a server: the address it listens on, or the machine's name for a wildcard."""
    if host not in WILDCARDS:
        return host
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        socket.getaddrinfo(name, None)
        return name
    return LOOPBACK


def url(name: str, port: int) -> str:
    """Return the `http://` URL of a host and port, with brackets around an IPv6 address."""
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def ask(address: str, body: Mapping[str, Any] | None = None, method: str | None = None, seconds: float = 3.0) -> Any:
    """Send a request to an API, by default GET without a body and POST with one; return the JSON or text of the answer.

    A server on SQLite answers 503 while another process writes to its database. The request is then repeated until
    `seconds` have passed.

    Raises:
        OSError: if the server does not answer, or answers with an error.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    # The stack's servers are reached without a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while True:
        try:
            with opener.open(request, timeout=seconds) as answer:
                text = answer.read()
            break
        except urllib.error.HTTPError as error:
            if error.code != SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                raise
        time.sleep(SECONDS_BETWEEN_REQUESTS)
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text.decode(errors="replace")


def answers(address: str, seconds: float = 3.0) -> bool:
    """Return True if an address answers a GET without an error."""
    try:
        ask(address, seconds=seconds)
    except OSError:
        return False
    return True
