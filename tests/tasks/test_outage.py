"""MLflow frozen, killed and started again in the middle of a run: work is not touched, every point arrives once."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from sft_core.errors import TrackerAwayError
from sft_core.recipe import Recipe
from tasks.tracking import Tracker, tracked_run
from tasks.tracking.outbox import Outbox, is_outage
from tasks.tracking.points import BATCH, Points
from tests.mlflow_servers import MlflowServer, mlflow_server

pytestmark = pytest.mark.slow

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
NUM_LINES, SECONDS_A_LINE = 400, 0.01
WRITER = f"""
import json, sys, time
with open(sys.argv[1], "a") as file:
    for step in range(1, {NUM_LINES} + 1):
        line = {{"step": step, "loss": 1 / step, "grad_norm": 1.0, "time": time.time(), "max_steps": {NUM_LINES}}}
        if step % 100 == 0:
            line["eval_loss"] = 2 / step
        file.write(json.dumps(line) + "\\n")
        file.flush()
        time.sleep({SECONDS_A_LINE})
"""
"""As the trainer: it writes lines, and nothing in it waits for anybody."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    monkeypatch.setenv("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    monkeypatch.setattr(tracked_run, "TICK_SECONDS", 0.2)
    monkeypatch.setattr(tracked_run, "RETRY_SECONDS", 0.2)


def tracker_of(server: MlflowServer, patience_seconds: float = 120) -> Tracker:
    return Tracker(server.uri, "outage", None, patience_seconds)


def train(path: Path, on_lines: Callable[[int], None]) -> None:
    """Run the writer and wait for it as a stage does; at each look `on_lines` is told how many lines there are."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
    deadline, has_ended = time.monotonic() + 300, False
    while not has_ended:
        has_ended = writer.poll() is not None
        on_lines(path.read_text().count("\n") if path.exists() else 0)
        assert time.monotonic() < deadline
        time.sleep(0.05)


def curves(tracker: Tracker, run_id: str) -> dict[str, list[int]]:
    return {
        name: [point.step for point in tracker.client.get_metric_history(run_id, name)]
        for name in ("loss", "grad_norm", "eval_loss")
    }


WHOLE = {
    "loss": list(range(1, NUM_LINES + 1)),
    "grad_norm": list(range(1, NUM_LINES + 1)),
    "eval_loss": list(range(100, NUM_LINES + 1, 100)),
}


class Plan:
    """Does something when the trainer has written so many lines, once each, in their order."""

    def __init__(self, *steps: tuple[int, Callable[[], None]]) -> None:
        self._steps = list(steps)
        self.threads: list[threading.Thread] = []

    def __call__(self, num_lines: int) -> None:
        while self._steps and num_lines >= self._steps[0][0]:
            self._steps.pop(0)[1]()

    def aside(self, call: Callable[[], None]) -> None:
        """Make a call that takes its time, while the loop goes on waiting."""
        self.threads.append(threading.Thread(target=call))
        self.threads[-1].start()

    def end(self) -> None:
        assert not self._steps, "the trainer did not get so far"
        for thread in self.threads:
            thread.join(120)
            assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["frozen", "killed and started again"])
def test_an_outage_in_mid_training_holds_nobody_up_and_costs_no_point(
    server: MlflowServer, tmp_path: Path, kind: str
) -> None:
    """MLflow comes back when the trainer has written most of its lines and the waiting loop has seen that: if either
    of them waited for MLflow, neither would get there."""
    tracker = tracker_of(server)
    go, come_back = (server.freeze, server.thaw) if kind == "frozen" else (server.kill, server.start)
    metrics, page = tmp_path / "metrics.jsonl", tmp_path / "report.html"
    page.write_text("<p>rows</p>")
    with tracker.run(RECIPE, kind) as run:
        run.follow(metrics)
        plan = Plan(
            (100, go), (200, lambda: plan.aside(lambda: run.log_file(page))), (360, lambda: plan.aside(come_back))
        )
        train(metrics, plan)
        run.record_metrics(metrics)
        run.record_metrics(metrics)
        plan.end()

    assert curves(tracker, run.run_id) == WHOLE
    assert "report.html" in {item.path for item in tracker.client.list_artifacts(run.run_id)}
    assert tracker.client.get_run(run.run_id).info.status == "FINISHED"


def test_if_mlflow_stays_away_the_same_command_brings_all_of_it(
    server: MlflowServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [{"step": step, "loss": 1.0, "time": float(step), "max_steps": 5} for step in range(1, 6)]
    metrics, samples = tmp_path / "metrics.jsonl", tmp_path / "samples.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    samples.write_text('{"prompt": "1 + 1", "answer": "two"}\n')

    def tell(tracker: Tracker) -> str:
        with tracker.run(RECIPE, "away") as run:
            if tracker is first:
                server.kill()
            run.record_metrics(metrics)
            run.record_scorecard({"exact_match": 0.5}, 5, samples)
        return run.run_id

    first = tracker_of(server, patience_seconds=1)
    try:
        with pytest.raises(TrackerAwayError, match=r"Nothing is lost: .* the same command"):
            tell(first)
        with pytest.raises(TrackerAwayError, match=server.uri):
            tracker_of(server)
    finally:
        server.start()
    assert "does not answer; the end of the run waits for it" in capsys.readouterr().err

    again = tracker_of(server)
    (left,) = again.client.search_runs([again.experiment_id], "tags.`sft.run_key` = 'away'")
    assert left.info.status == "RUNNING", "nobody could say otherwise"
    run_id = tell(again)
    assert run_id == left.info.run_id
    found = again.client.get_run(run_id)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"loss": 1.0, "exact_match": 0.5})
    assert [point.step for point in again.client.get_metric_history(run_id, "loss")] == [1, 2, 3, 4, 5]
    assert "samples.json" in {item.path for item in again.client.list_artifacts(run_id)}


def test_an_outage_where_an_answer_is_needed_is_told_as_one(server: MlflowServer) -> None:
    def ask(tracker: Tracker) -> None:
        with tracker.run(RECIPE, "asked"):
            server.kill()
            tracker.fingerprint()

    tracker = tracker_of(server)
    try:
        with pytest.raises(TrackerAwayError, match="does not answer"):
            ask(tracker)
    finally:
        server.start()


def test_the_cause_of_a_failure_is_told_even_if_mlflow_is_away(
    server: MlflowServer, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(tracker: Tracker) -> None:
        with tracker.run(RECIPE, "failed"):
            server.kill()
            raise ValueError("data")

    tracker = tracker_of(server)
    try:
        with pytest.raises(ValueError, match="data"):
            fail(tracker)
    finally:
        server.start()
    assert "stays RUNNING there until" in capsys.readouterr().err


class Losing:
    """A client whose answers are lost on the way, though the server has taken the batch."""

    def __init__(self, tracker: Tracker, num_lost: int) -> None:
        self._client, self.num_lost = tracker.client, num_lost

    def log_batch(self, run_id: str, metrics: list[Metric]) -> None:
        self._client.log_batch(run_id, metrics=metrics)
        if self.num_lost:
            self.num_lost -= 1
            raise MlflowException("the answer was lost")


def test_a_batch_whose_answer_was_lost_is_not_doubled(tracker: Tracker, tmp_path: Path) -> None:
    """The second of two points of one curve at one step is not a point of its own, in one batch or over two."""
    steps = [*range(1, BATCH), BATCH - 1, *range(BATCH, 2 * BATCH), 2 * BATCH - 1]
    lines = [{"step": step, "loss": 1.0, "time": 1.0 + number, "max_steps": 1} for number, step in enumerate(steps)]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with tracker.run(RECIPE, "lost answers") as run:
        points = Points(Losing(tracker, num_lost=3), run.run_id, {})  # type: ignore[arg-type]
        num_failed = 0
        for _ in range(5):
            try:
                points.send_lines(path)
            except MlflowException:
                num_failed += 1
    assert num_failed == 3
    history = tracker.client.get_metric_history(run.run_id, "loss")
    assert [point.step for point in history] == list(range(1, 2 * BATCH))


def test_calls_keep_their_order_and_wait_for_each_other() -> None:
    outbox, made, is_away = Outbox(), [], True

    def call(name: str) -> Callable[[], None]:
        def make() -> None:
            if is_away:
                raise MlflowException("away")
            made.append(name)

        return make

    outbox.post(call("first"))
    outbox.post(call("second"))
    with suppress(MlflowException):
        outbox.deliver([call("now")])
    assert made == []
    is_away = False
    outbox.post(call("third"))
    outbox.deliver([call("now")])
    assert made == ["first", "second", "third", "now"]


def test_a_refusal_is_raised_once_and_does_not_stand_in_the_way() -> None:
    outbox, made = Outbox(), []

    def refused() -> None:
        raise MlflowException("no", error_code=1000)

    with pytest.raises(MlflowException, match="no"):
        outbox.post(refused)
    outbox.post(lambda: made.append("next"))
    assert made == ["next"]


def test_what_a_thread_was_refused_is_raised_at_the_end(tracker: Tracker, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "time": 1.0, "a metric: with\\ttabs": 1.0}\n')

    def follow() -> None:
        with tracker.run(RECIPE, "refused") as run:
            run.follow(path)
            time.sleep(1)

    with pytest.raises(MlflowException, match="Invalid value"):
        follow()
    (run,) = tracker.client.search_runs([tracker.experiment_id], "tags.`sft.run_key` = 'refused'")
    assert run.info.status == "FAILED"


@pytest.mark.parametrize(("code", "expected"), [(503, True), (429, True), (404, False), (403, False)])
def test_an_overloaded_server_is_away_and_a_refusing_one_is_not(code: int, expected: bool) -> None:
    response = requests.Response()
    response.status_code = code
    assert is_outage(requests.HTTPError(response=response)) is expected


def test_our_own_mistakes_are_no_outage() -> None:
    assert not is_outage(ValueError("x"))
    assert is_outage(requests.ConnectionError())
