"""Requests to the servers of a stack."""

import http.server
import threading
from collections.abc import Iterator
from urllib.error import HTTPError

import pytest

from deployments.stack.addresses import ask


class BusyServer(http.server.ThreadingHTTPServer):
    """A server that gives its answers in order, and repeats the last one."""

    def __init__(self, *codes: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.codes = list(codes)
        self.requests: list[tuple[str, bytes]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: BusyServer

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, body))
        code = self.server.codes.pop(0) if len(self.server.codes) > 1 else self.server.codes[0]
        self.send_response(code)
        self.end_headers()
        self.wfile.write(b'{"is_paused": true}')

    def do_GET(self) -> None:
        self._answer()

    def do_PATCH(self) -> None:
        self._answer()

    def log_message(self, *_: object) -> None:
        """Write nothing to the terminal."""


@pytest.fixture
def busy(request: pytest.FixtureRequest) -> Iterator[BusyServer]:
    server = BusyServer(*request.param)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("busy", [(503, 503, 200)], indirect=True)
def test_a_request_is_repeated_while_the_server_is_busy(busy: BusyServer) -> None:
    assert ask(busy.url, {"is_paused": True}, method="PATCH", seconds=30.0) == {"is_paused": True}
    assert busy.requests == [("PATCH", b'{"is_paused": true}')] * 3


@pytest.mark.parametrize("busy", [(503,)], indirect=True)
def test_a_server_that_stays_busy_is_an_error(busy: BusyServer) -> None:
    with pytest.raises(HTTPError, match="503"):
        ask(busy.url, seconds=0.5)
    assert len(busy.requests) > 1


@pytest.mark.parametrize("busy", [(404,)], indirect=True)
def test_other_errors_are_raised_at_once(busy: BusyServer) -> None:
    with pytest.raises(HTTPError, match="404"):
        ask(busy.url, seconds=30.0)
    assert len(busy.requests) == 1
