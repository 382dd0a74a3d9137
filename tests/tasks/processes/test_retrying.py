"""What is tried again: by what an error is or was caused by, on errors as libraries really raise them."""

import http.server
import threading
from collections.abc import Iterator

import httpx
import pytest
import requests
from huggingface_hub import HfApi, constants
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, TEMPORARILY_UNAVAILABLE
from prefect import Task
from prefect.testing.utilities import prefect_test_harness

from sft_core.errors import DataError, RecipeError, StageFailedError, StageTimeoutError, TrackerAwayError
from sft_core.processes import hiccups
from tasks.ingest_sources import ingest_sources
from tasks.processes.retrying import JITTER, RETRY_DELAYS, can_pass, retry_if_it_can_pass
from tasks.stages.caching import task_of
from tasks.train_model import train_model

pytestmark = pytest.mark.slow


class Server(http.server.ThreadingHTTPServer):
    """Answers with one status, and counts."""

    status, num_asked = 503, 0


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.num_asked += 1
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join(60)


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def ask_with_httpx(url: str) -> None:
    httpx.get(url).raise_for_status()


def ask_with_requests(url: str) -> None:
    requests.get(url, timeout=5).raise_for_status()


def ask_the_hub(url: str) -> None:
    HfApi(endpoint=url).repo_info("a/b")


def error_of(ask: object, url: str) -> Exception:
    assert callable(ask)
    with pytest.raises(Exception) as caught:  # noqa: PT011  # which one is for the library to say
        ask(url)
    return caught.value


@pytest.mark.parametrize("ask", [ask_with_httpx, ask_with_requests, ask_the_hub])
@pytest.mark.parametrize(("status", "passes"), [(429, True), (500, True), (503, True), (401, False), (404, False)])
def test_answers_of_servers(server: Server, ask: object, status: int, passes: bool) -> None:
    server.status = status
    error = error_of(ask, address(server))
    assert can_pass(error) == passes, error
    told = RecipeError("cannot read from the Hub")
    told.__cause__ = error
    assert can_pass(told) == passes


@pytest.mark.parametrize("ask", [ask_with_httpx, ask_with_requests, ask_the_hub])
def test_servers_that_are_not_there(server: Server, ask: object) -> None:
    url = address(server)
    server.server_close()
    assert can_pass(error_of(ask, url))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (ConnectionResetError("reset"), True),
        (TimeoutError("timed out"), True),
        (OSError(101, "Network is unreachable"), True),
        (TrackerAwayError("was waited for"), False),
        (MlflowException("lost its database", TEMPORARILY_UNAVAILABLE), True),
        (FileNotFoundError("no such file"), False),
        (OSError(28, "No space left on device"), False),
        (MemoryError(), False),
        (AssertionError(), False),
        (RecipeError("unknown field"), False),
        (DataError("not JSON"), False),
        (StageFailedError("training ended with exit code 1"), False),
        (StageTimeoutError("train_model took longer"), False),
        (MlflowException("no permission", PERMISSION_DENIED), False),
    ],
    ids=repr,
)
def test_errors_by_kind(error: Exception, passes: bool) -> None:
    assert can_pass(error) == passes


def test_every_stage_is_tried_again_with_growing_delays() -> None:
    for stage in (ingest_sources, train_model):
        task = task_of(stage)
        assert task.retry_condition_fn is retry_if_it_can_pass
        assert task.retries == len(RETRY_DELAYS)
        assert task.retry_delay_seconds == RETRY_DELAYS == [2.0 * 2**n for n in range(7)]
        assert task.retry_jitter_factor == JITTER


def test_a_short_question_is_repeated_only_if_somebody_answers(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hiccups, "DELAYS", (0.01, 0.01))
    url = address(server)
    error_of(lambda url: hiccups.patiently(lambda: ask_with_httpx(url)), url)
    assert server.num_asked == 3
    server.status = 404
    error_of(lambda url: hiccups.patiently(lambda: ask_with_httpx(url)), url)
    assert server.num_asked == 4


def test_a_task_is_tried_again_and_says_so(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    def unlucky(status: int) -> str:
        server.status = status if server.num_asked == 0 else 200
        ask_with_httpx(address(server))
        return "done"

    task = Task(unlucky, retries=2, retry_delay_seconds=[0.1, 0.1], retry_condition_fn=retry_if_it_can_pass)
    with prefect_test_harness(server_startup_timeout=120):
        assert task(503) == "done"
        assert server.num_asked == 2
        assert "unlucky failed (HTTPStatusError: Server error '503 Service Unavailable'" in capsys.readouterr().err
        server.num_asked = 0
        with pytest.raises(httpx.HTTPStatusError):
            task(404)
        assert server.num_asked == 1
