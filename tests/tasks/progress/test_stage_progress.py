"""One progress for every long stage: how it stands, how it ends, and that telling it costs the work nothing."""

import threading
import time
from uuid import UUID, uuid4

import pytest

from tasks.progress import StageProgress, stage_progress


class Page:
    """Prefect as the progress sees it: what was shown, call by call."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, float, str]] = []
        self.error: Exception | None = None
        self.found: UUID | None = None
        monkeypatch.setattr(stage_progress, "is_in_flow", lambda: True)
        monkeypatch.setattr("prefect.artifacts.create_progress_artifact", self.create)
        monkeypatch.setattr("prefect.artifacts.update_progress_artifact", self.update)
        monkeypatch.setattr(stage_progress._ProgressArtifact, "_found", lambda _: self.found)

    def create(self, percent: float, key: str, description: str) -> UUID:
        self._take("create " + key, percent, description)
        return uuid4()

    def update(self, artifact: UUID, percent: float, description: str) -> None:
        self._take("update", percent, description)

    def _take(self, call: str, percent: float, description: str) -> None:
        self.calls.append((call, percent, description))
        if self.error is not None:
            raise self.error


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    return Page(monkeypatch)


def test_one_artifact_is_made_and_ends_at_100(page: Page) -> None:
    with StageProgress("training", "step") as told:
        told.tell(1, 4, 25.0, "step 1 of 4")
        wait_for(lambda: len(page.calls) == 1)
        for step in (2, 3, 4):
            told.tell(step, 4, 25.0 * step, f"step {step} of 4")
    assert page.calls == [
        ("create training-progress", 25.0, "step 1 of 4"),
        ("update", 100.0, "step 4 of 4; done after 0 s"),
    ], "between two messages lie 5 seconds, but for the last"


def test_a_stage_that_fails_stays_where_it_was_and_says_why(page: Page) -> None:
    with pytest.raises(ValueError), StageProgress("training", "step") as told:  # noqa: PT011, PT012
        told.tell(1, 4, 25.0, "step 1 of 4")
        raise ValueError("no room\nis left")
    assert page.calls[-1][1:] == (25.0, "step 1 of 4; stopped: no room is left")


def test_what_a_former_attempt_of_the_flow_run_has_left_is_gone_on_with(page: Page) -> None:
    page.found = uuid4()
    with StageProgress("training", "step") as told:
        told.tell(3, 4, 75.0, "step 3 of 4")
    assert {call for call, _, _ in page.calls} == {"update"}


def test_a_server_that_fails_is_no_reason_to_fail(page: Page) -> None:
    page.error = RuntimeError("away")
    with StageProgress("training", "step") as told:
        told.tell(1, 4, 25.0, "step 1 of 4")
    assert len(page.calls) >= 1
    assert told.percent == 100.0


def test_a_server_that_hangs_holds_nothing_up(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging, answered = threading.Event(), threading.Event()
    monkeypatch.setattr(stage_progress, "SECONDS_FOR_THE_LAST", 0.05)
    monkeypatch.setattr(
        "prefect.artifacts.create_progress_artifact", lambda *_, **__: hanging.wait(60) or answered.set()
    )
    with StageProgress("training", "step") as told:
        told.tell(1, 4, 25.0, "step 1 of 4")
        told.tell(2, 4, 50.0, "step 2 of 4")
    assert not answered.is_set(), "the answer was waited for"
    hanging.set()
    wait_for(lambda: all(thread.name != "training-progress" for thread in threading.enumerate()))


def test_where_nothing_was_done_nothing_is_shown(page: Page) -> None:
    with StageProgress("preparation", "shard"):
        pass
    assert page.calls == []


def test_outside_of_a_flow_run_it_is_a_bar_alone() -> None:
    with StageProgress("training", "step") as told:
        told.tell(1, 4, 25.0, "step 1 of 4")
    assert (told.percent, told.words) == (100.0, "step 1 of 4; done after 0 s")


def wait_for(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
