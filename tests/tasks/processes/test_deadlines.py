"""A stage that takes longer than the recipe lets it is ended wherever it is at work, and what was done is kept."""

import os
import signal
import time
from pathlib import Path

import pytest
from pydantic import BaseModel

from sft_core.errors import StageInterruptedError, StageTimeoutError
from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.artifact import ArtifactStore, plan_artifact
from sft_core.store.records import StageOutcome
from sft_core.store.stages import STAGES
from tasks import home
from tasks.processes import deadlines, launching
from tasks.processes.deadlines import clock_stopped, time_limit
from tasks.workers import ShardWorkers, Work


def fill(text: str, seconds: float, folder: Path) -> StageOutcome:
    time.sleep(seconds)
    (folder / "text").write_text(text)
    return StageOutcome()


def test_work_in_this_process_is_ended() -> None:
    reached: list[bool] = []

    def work() -> None:
        time.sleep(30)
        reached.append(True)

    with (
        pytest.raises(
            StageTimeoutError,
            match=r"took longer than runtime.stage_timeouts.pack_shards allows \(0.2 s\).*same command resumes",
        ),
        time_limit("pack_shards", 0.2),
    ):
        work()
    assert not reached, "it was ended when all was done"


def test_work_within_the_limit_leaves_nothing_behind() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with time_limit("pack_shards", 60):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert signal.getsignal(signal.SIGALRM) is before
    with time_limit("pack_shards", None):
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_wait_that_does_not_count_is_no_part_of_the_limit() -> None:
    with time_limit("register_model", 2.0):
        with clock_stopped():
            time.sleep(2.5)
        assert 0 < signal.getitimer(signal.ITIMER_REAL)[0] <= 2.0
        with pytest.raises(StageTimeoutError):
            time.sleep(30)
    with clock_stopped():
        pass
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_worker_processes_are_ended_and_their_finished_shards_stay(tmp_path: Path) -> None:
    store, workers = ArtifactStore(root=tmp_path), ShardWorkers(2)
    seconds = {0: 0.0, 1: 0.0}
    works = [
        (plan_artifact("s", str(shard), {"shard": shard}), Work(fill, (str(shard), seconds.get(shard, 300.0))))
        for shard in range(6)
    ]
    done: list[None] = []

    def on_done() -> None:
        done.append(None)
        if len(done) == 2:  # however long the processes took to start
            signal.setitimer(signal.ITIMER_REAL, 0.5)

    with pytest.raises(StageTimeoutError), time_limit("s", 600):
        workers.build(store, works, on_done)
    workers.close()
    found = [store.find(plan.ref) is not None for plan, _ in works]
    assert found == [True, True, False, False, False, False], "nobody waited for the shards at work"


class Plan(BaseModel):
    """What no room can read."""


def test_a_subprocess_is_asked_to_save_and_ended(tmp_path: Path) -> None:
    program = """
import os, signal, sys, time
from pathlib import Path
sys.path.insert(0, os.environ["PYTHONPATH"].split(os.pathsep)[0])
from sft_core.processes.subprocesses import EndRequest
folder = Path(sys.argv[1]); request = EndRequest(); request.listen(folder)
while not request.is_made:
    time.sleep(0.05)
(folder / "checkpoint").touch()
time.sleep(300)
"""
    arguments = [launching.sys.executable, "-c", program, str(tmp_path)]
    listening = tmp_path / "listening"

    def arm() -> None:
        if listening.exists() and list(listening.iterdir()) and not signal.getitimer(signal.ITIMER_REAL)[0] < 100:
            signal.setitimer(signal.ITIMER_REAL, 0.2)

    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    launching_seconds = launching.SECONDS_TO_SAVE
    launching.SECONDS_TO_SAVE = 2.0
    try:
        with pytest.raises(StageInterruptedError, match="train_model took longer"), time_limit("train_model", 600):
            launching._run(
                "sft_core.training", arguments, Plan(), tmp_path, tmp_path / "log", environment, None, "", arm
            )
    finally:
        launching.SECONDS_TO_SAVE = launching_seconds
    assert (tmp_path / "checkpoint").exists()
    (pid,) = (int(file.name.split("@")[0]) for file in listening.iterdir())
    assert not Path(f"/proc/{pid}").exists()


def test_limits_come_from_the_recipe(tmp_path: Path) -> None:
    runtime = RuntimeConfig(home=str(tmp_path), stage_timeouts={"train_model": 7200})
    assert home.open_store(runtime).time_limits == {"train_model": 7200.0}
    assert deadlines.time_limit is time_limit


def test_stages_are_known_by_the_names_of_their_tasks() -> None:
    from tasks.stages import Stage

    found = set()
    for file in (Path(__file__).parents[3] / "tasks").glob("[a-z]*_*.py"):
        module = __import__(f"tasks.{file.stem}", fromlist=[file.stem])
        if isinstance(getattr(module, file.stem), Stage):
            found.add(file.stem)
    assert found == set(STAGES)
