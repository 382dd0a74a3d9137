"""Scores of a model that was there already: where MLflow shows them."""

from pathlib import Path

import pytest

from sft_core.recipe import Recipe
from tasks.tracking import FoundModel, TrackedRun, Tracker, find_model, log_model, record_evaluation
from tests.fresh_mlflow import open_sqlite

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])
SCORES = {"eval_loss": 1.5, "f1/temperature:0.5": 0.25}
DATASET = {"dataset_name": "r-eval", "dataset_digest": "d" * 32}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    return open_sqlite(folder)


@pytest.fixture(scope="module")
def logged(tracker: Tracker, tmp_path_factory: pytest.TempPathFactory) -> FoundModel:
    """A model that a run has logged."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")
    (beside := tmp_path_factory.mktemp("beside") / "b").mkdir()
    with tracker.run(RECIPE, "training") as run:
        model_id = log_model(run, "m", folder, beside, step=3, tags={})
    return find_model(tracker.client, model_id, folder)


def record(run: TrackedRun, model: FoundModel) -> None:
    record_evaluation(run, model, SCORES, **DATASET, measured_at=1234.5)


def test_a_logged_model_gets_the_scores_with_the_rows_they_are_of(tracker: Tracker, logged: FoundModel) -> None:
    with tracker.run(RECIPE, "evaluation") as run:
        record(run, logged)
        record(run, logged)
    model = tracker.client.get_logged_model(logged.model_id)
    assert sorted((point.key, point.value, point.dataset_name, point.dataset_digest) for point in model.metrics) == [
        (name, value, *DATASET.values()) for name, value in sorted(SCORES.items())
    ], "each once, though they were recorded twice"
    found = tracker.client.search_logged_models(
        [tracker.experiment_id], "metrics.eval_loss < 2", datasets=[DATASET], max_results=1
    )
    assert [one.model_id for one in found] == [logged.model_id]
    kept = tracker.client.get_run(run.run_id)
    assert [one.model_id for one in kept.inputs.model_inputs] == [logged.model_id]
    assert kept.data.tags["sft.model_id"] == logged.model_id
    assert kept.data.tags["sft.model_run_id"] == logged.run_id


def test_a_plain_folder_is_named_by_its_place(tracker: Tracker, tmp_path: Path) -> None:
    with tracker.run(RECIPE, "of a folder") as run:
        record(run, FoundModel(tmp_path, None, None))
    kept = tracker.client.get_run(run.run_id)
    assert (kept.data.tags["sft.kind"], kept.data.tags["sft.model_folder"]) == ("evaluation", str(tmp_path))
    assert "sft.model_id" not in kept.data.tags
    assert kept.inputs.model_inputs == []
