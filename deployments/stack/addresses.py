"""Where servers listen, and what they are called by those who open their pages."""

import contextlib
import json
import socket
import urllib.request
from collections.abc import Mapping
from typing import Any

from sft_core.errors import RecipeError

LOOPBACK = "127.0.0.1"
WILDCARDS = ("0.0.0.0", "::")
_claims: dict[int, socket.socket] = {}
"""Ports that this process has taken for servers of its stack, which listen there only seconds later."""


def choose_port(host: str, wanted: int | None, usual: int, option: str) -> int:
    """A port to listen on, which no other stack of this machine chooses as long as this process lives.

    Args:
        host: The address to listen at.
        wanted: By the user.
        usual: Taken where it is free and nothing is wanted; otherwise any free one.
        option: Where the user says what is wanted.

    Raises:
        RecipeError: if the wanted one is taken, or there is no such address here.
    """
    if wanted is not None:
        if not _take(host, wanted):
            raise RecipeError(
                f"{option}: expected a free port, found that somebody listens on {host}:{wanted} or is about to; "
                f"choose another, or leave {option} out, and a free one is taken"
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
    """Two stacks that are started at once both see a free port, so each puts its name down: a Unix socket in Linux's
    abstract namespace, which is gone with the process, however that ends."""
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
    """What links call a server that listens at an address: itself, or this machine's name if it listens at all."""
    if host not in WILDCARDS:
        return host
    name = socket.gethostname()
    with contextlib.suppress(OSError):
        socket.getaddrinfo(name, None)
        return name
    return LOOPBACK


def url(name: str, port: int) -> str:
    """`http://` and the rest."""
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def ask(address: str, body: Mapping[str, Any] | None = None, method: str | None = None, seconds: float = 3.0) -> Any:
    """Ask an API: a GET, or a POST where there is a body.

    Raises:
        OSError: if it does not answer, or refuses.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # our own servers are behind no proxy
    with opener.open(request, timeout=seconds) as answer:
        text = answer.read()
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text.decode(errors="replace")


def answers(address: str, seconds: float = 3.0) -> bool:
    """Whether an address answers a GET without an error."""
    try:
        ask(address, seconds=seconds)
    except OSError:
        return False
    return True
