"""A run's life in MLflow: its status, its points, and what a second attempt finds."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sft_core.errors import StageFailedError
from sft_core.recipe import Recipe
from sft_core.recipe.run_names import run_name
from tasks.tracking import TrackedRun, Tracker, tracked_run
from tasks.tracking.provenance import recipe_params
from tests.fresh_mlflow import open_sqlite, write_fresh_mlflow

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])


def status(tracker: Tracker, run_id: str) -> str:
    return str(tracker.client.get_run(run_id).info.status)


def steps(tracker: Tracker, run_id: str, name: str) -> list[int]:
    return [point.step for point in tracker.client.get_metric_history(run_id, name)]


def write_lines(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps({"time": 1.0, "max_steps": 9, **line}) + "\n" for line in lines))
    return path


def interrupted_run(tracker: Tracker, metrics: Path, key: str = "resumed") -> TrackedRun:
    """A run that fails after its first metrics."""
    with suppress(RuntimeError), tracker.run(RECIPE, key) as run:
        run.record_metrics(metrics)
        raise RuntimeError
    return run


def test_the_status_tells_how_the_run_ended(tracker: Tracker) -> None:
    ends = {"FINISHED": None, "FAILED": ValueError("data"), "KILLED": KeyboardInterrupt()}
    for expected, error in ends.items():
        run_id = ""
        try:
            with tracker.run(RECIPE, f"status-{expected}") as run:
                run_id = run.run_id
                if error:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert status(tracker, run_id) == expected


def test_a_run_is_called_after_recipe_and_model_and_keeps_the_log_of_what_failed(
    tracker: Tracker, tmp_path: Path
) -> None:
    log = tmp_path / "train_model.log"
    log.write_text("last words")
    with suppress(StageFailedError), tracker.run(RECIPE, "failed-stage") as run:
        raise StageFailedError("training ended with exit code 1").with_log(log)
    assert tracker.client.get_run(run.run_id).info.run_name == run_name(RECIPE)
    assert [file.path for file in tracker.client.list_artifacts(run.run_id) if file.path.endswith(".log")] == [log.name]


def test_of_a_long_log_the_end_is_laid_beside_a_run(
    tracker: Tracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracked_run, "LOG_BYTES", 100)
    log = tmp_path / "long.log"
    log.write_text("".join(f"line {number:>4}\n" for number in range(1000)))
    with suppress(StageFailedError), tracker.run(RECIPE, "long-log") as run:
        raise StageFailedError("training ended with exit code 1").with_log(log)
    first, *lines = Path(tracker.client.download_artifacts(run.run_id, log.name)).read_text().splitlines()
    assert first == f"the end of {log}, which has 10,000 bytes"
    assert lines == [f"line {number:>4}" for number in range(991, 1000)]


def test_a_log_that_is_gone_hides_no_error(tracker: Tracker, tmp_path: Path) -> None:
    with pytest.raises(StageFailedError, match="exit code 1"), tracker.run(RECIPE, "gone-log"):
        raise StageFailedError("exit code 1").with_log(tmp_path / "none.log")


def test_a_finished_run_is_found_again_and_left_as_it_was(tracker: Tracker) -> None:
    with tracker.run(RECIPE, "twice") as first:
        pass
    ended = tracker.client.get_run(first.run_id).info.end_time
    with tracker.run(RECIPE, "twice") as second:
        pass
    assert second.run_id == first.run_id
    assert tracker.client.get_run(first.run_id).info.end_time == ended


def test_a_failed_run_is_resumed_without_doubled_points(tracker: Tracker, tmp_path: Path) -> None:
    first = interrupted_run(
        tracker, write_lines(tmp_path / "m.jsonl", {"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0})
    )
    with tracker.run(RECIPE, "resumed") as second:
        lines = [{"step": step, "loss": 4.0 - step} for step in (1, 2, 3)]
        second.record_metrics(write_lines(tmp_path / "m.jsonl", *lines))
        second.record_metrics(tmp_path / "m.jsonl")
    assert second.run_id == first.run_id
    assert steps(tracker, first.run_id, "loss") == [1, 2, 3]
    assert status(tracker, first.run_id) == "FINISHED"


def test_a_run_whose_process_is_dead_is_resumed_and_a_living_one_is_not_touched(tracker: Tracker) -> None:
    with tracker.run(RECIPE, "busy") as first:
        with tracker.run(RECIPE, "busy") as beside:
            assert beside.run_id != first.run_id, "this process lives and is at work on the first"
        tracker.client.set_tag(first.run_id, "sft.pid", "999999999")
        tracker.client.update_run(beside.run_id, status="RUNNING")
        tracker.client.set_tag(beside.run_id, "sft.pid", "999999999")
        with tracker.run(RECIPE, "busy") as after:
            assert after.run_id in (first.run_id, beside.run_id)
        assert tracker.client.get_run(after.run_id).data.tags["sft.pid"] == str(os.getpid())


def test_a_line_that_is_still_being_written_waits(tracker: Tracker, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "m.jsonl", {"step": 1, "loss": 3.0})
    with tracker.run(RECIPE, "tail") as run:
        with path.open("a") as file:
            file.write('{"step": 2, "time": 2.0, "lo')
        run.record_metrics(path)
        assert steps(tracker, run.run_id, "loss") == [1]
        with path.open("a") as file:
            file.write('ss": 2.5, "max_steps": 9}\n')
        run.record_metrics(path)
        assert steps(tracker, run.run_id, "loss") == [1, 2]


def test_lines_that_were_cut_off_and_come_again_are_sent_once(tracker: Tracker, tmp_path: Path) -> None:
    """As when training goes on from a checkpoint before its last line, within one run or in the next."""
    lines = [{"step": step, "loss": 4.0 - step} for step in range(1, 6)]
    path = write_lines(tmp_path / "m.jsonl", *lines[:4])
    run = interrupted_run(tracker, path, "cut back")
    with tracker.run(RECIPE, "cut back") as again:
        again.record_metrics(path)
        again.record_metrics(write_lines(path, *lines[:2]))
        again.record_metrics(write_lines(path, *lines))
    assert again.run_id == run.run_id
    assert steps(tracker, run.run_id, "loss") == [1, 2, 3, 4, 5]


def test_artifacts_of_a_database_of_our_own_lie_below_the_folder_that_was_given(tmp_path: Path) -> None:
    tracker = open_sqlite(tmp_path)
    with tracker.run(RECIPE, "artifacts") as run:
        uri = tracker.client.get_run(run.run_id).info.artifact_uri
    assert uri.startswith((tmp_path / "artifacts" / "sft").as_uri())
    assert not (Path.cwd() / "mlruns").exists()


def test_params_are_namespaced_and_leave_out_what_only_places_the_work() -> None:
    params = recipe_params(RECIPE)
    assert params["training/learning_rate"] == "2e-05"
    assert params["registry/gate/metric"] == "eval_loss"
    assert params["sources/0/path"] == "x.jsonl"
    assert not any(name.startswith("runtime") for name in params)


def test_a_deleted_experiment_is_restored(tmp_path: Path) -> None:
    write_fresh_mlflow(tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    first = Tracker(uri, "gone", tmp_path / "artifacts")
    first.client.delete_experiment(first.experiment_id)
    assert Tracker(uri, "gone", tmp_path / "artifacts").experiment_id == first.experiment_id


def test_the_data_report_lies_beside_the_run(tracker: Tracker, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<p>rows</p>")
    with tracker.run(RECIPE, "report") as run:
        run.log_file(page)
    assert "report.html" in {item.path for item in tracker.client.list_artifacts(run.run_id)}
