"""Scores on logged models: by data set, in the run's own points, and checkpoints that stay where they lie."""

import json
from pathlib import Path
from typing import Any

import pytest

from sft_core.recipe import Recipe
from sft_core.training.checkpoints import seal
from tasks.tracking import TrackedRun, Tracker, log_model
from tasks.tracking.checkpoints import log_checkpoints
from tasks.tracking.model_references import find_model, logged_model
from tests.fresh_mlflow import open_sqlite

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
DATA = ("r-eval", "d" * 32)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    return open_sqlite(folder)


def lay_out(folder: Path, *steps: int) -> Path:
    """A training's folder with checkpoints, and an evaluation at each of their steps."""
    lines = [{"step": step, "time": float(step), "max_steps": 9, "eval_loss": 10.0 - step} for step in steps]
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in steps:
        aside = folder / "checkpoints" / "unfinished" / "checkpoint"
        aside.mkdir(parents=True)
        (aside / "config.json").write_text("{}")
        final = folder / "checkpoints" / f"checkpoint-{step}"
        seal(aside, final, num_processes=1, is_last=False, seconds=1.0, journals={})
    return folder


def model_of(run: TrackedRun, folder: Path, name: str) -> str:
    (folder / name).mkdir()
    (folder / name / "config.json").write_text("{}")
    (folder / f"{name}-beside").mkdir()
    return log_model(run, name, folder / name, folder / f"{name}-beside", 5, {})


def points(tracker: Tracker, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in tracker.client.get_metric_history(run_id, name)]


def test_the_best_on_a_data_set_comes_first_and_other_data_does_not_count(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.run(RECIPE, "best") as run:
        good, bad, elsewhere = (model_of(run, tmp_path, name) for name in ("good", "bad", "elsewhere"))
        run.record_model_scores(bad, 5, {"best_loss": 2.0}, DATA)
        run.record_model_scores(good, 5, {"best_loss": 1.0}, DATA)
        run.record_model_scores(elsewhere, 5, {"best_loss": 0.1}, ("r-eval", "e" * 32))
    data: dict[str, Any] = {"dataset_name": DATA[0], "dataset_digest": DATA[1]}
    order = [{"field_name": "metrics.best_loss", "ascending": True, **data}]
    found = tracker.client.search_logged_models([tracker.experiment_id], datasets=[data], order_by=order)
    assert [model.model_id for model in found] == [good, bad]


def test_a_point_that_the_run_has_is_not_doubled_and_another_is_kept_beside_it(
    tracker: Tracker, tmp_path: Path
) -> None:
    metrics = tmp_path / "metrics.jsonl"
    line = {"step": 5, "max_steps": 9, "time": 1.0, "eval_loss": 2.0, "eval_entropy": 1.0}
    metrics.write_text(json.dumps(line) + "\n")
    (tmp_path / "samples.jsonl").write_text("")
    scores = {"eval_loss": 2.0 + 1e-9, "eval_entropy": 1.5, "exact_match": 0.25}
    with tracker.run(RECIPE, "points") as run:
        run.record_metrics(metrics)
        model_id = model_of(run, tmp_path, "points")
        run.record_model_scores(model_id, 5, scores, DATA)
        run.record_model_scores(model_id, 5, scores, DATA)
        run.record_scorecard(scores, 5, tmp_path / "samples.jsonl")
    assert points(tracker, run.run_id, "eval_loss") == [(5, 2.0)]
    assert points(tracker, run.run_id, "eval_entropy") == [(5, 1.0), (5, 1.5)]
    assert points(tracker, run.run_id, "exact_match") == [(5, 0.25)]
    known = {metric.key: metric for metric in tracker.client.get_logged_model(model_id).metrics}
    assert {name: metric.value for name, metric in known.items()} == pytest.approx(scores)
    assert {(metric.dataset_name, metric.dataset_digest) for metric in known.values()} == {DATA}


def test_checkpoints_are_known_once_and_are_never_taken_for_the_runs_model(tracker: Tracker, tmp_path: Path) -> None:
    training = lay_out(tmp_path / "training", 3, 6)
    with tracker.run(RECIPE, "checkpoints") as run:
        model_id = model_of(run, tmp_path, "final")
        for _ in range(2):
            log_checkpoints(run, training, {"sft.artifact.train_model": "key"}, DATA)
    found = tracker.client.search_logged_models([tracker.experiment_id], f"source_run_id = '{run.run_id}'")
    checkpoints = {model.name: model for model in found if model.name.startswith("checkpoint-")}
    assert sorted(checkpoints) == ["checkpoint-3", "checkpoint-6"]
    assert len(found) == 3
    assert logged_model(tracker.client, run.run_id).model_id == model_id
    (score,) = checkpoints["checkpoint-3"].metrics
    assert (score.key, score.value, score.step, score.dataset_digest) == ("eval_loss", 7.0, 3, DATA[1])
    assert points(tracker, run.run_id, "eval_loss") == [(3, 7.0), (6, 4.0)]
    place = find_model(tracker.client, checkpoints["checkpoint-3"].model_id, tmp_path)
    assert place.folder == training / "checkpoints" / "checkpoint-3"


def test_a_training_without_kept_checkpoints_logs_none(tracker: Tracker, tmp_path: Path) -> None:
    (tmp_path / "training").mkdir()
    with tracker.run(RECIPE, "none kept") as run:
        log_checkpoints(run, tmp_path / "training", {}, DATA)
    assert not tracker.client.search_logged_models([tracker.experiment_id], f"source_run_id = '{run.run_id}'")
