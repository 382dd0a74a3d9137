"""One model, whatever it is called by."""

from pathlib import Path

import pytest

from sft_core.errors import RecipeError
from sft_core.recipe import Recipe
from tasks.tracking import Tracker, log_model
from tasks.tracking.model_references import FoundModel, find_model
from tests.fresh_mlflow import open_sqlite

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Tracker:
    folder = tmp_path_factory.mktemp("mlflow")
    return open_sqlite(folder)


@pytest.fixture(scope="module")
def logged(tracker: Tracker, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Ids of a run and of its model, which is version 1 and champion."""
    folder = tmp_path_factory.mktemp("model")
    (folder / "config.json").write_text("{}")
    (beside := tmp_path_factory.mktemp("beside") / "b").mkdir()
    with tracker.run(RECIPE, "one") as run:
        model_id = log_model(run, "m", folder, beside, step=3, tags={})
    tracker.registry.register("name", model_id, run.run_id, {})
    tracker.registry.set_alias("name", "champion", "1")
    return run.run_id, model_id


@pytest.mark.parametrize(
    "reference",
    ["{run}", "runs:/{run}", "models:/name@champion", "models:/name/1", "models:/{model}", "{model}"],
)
def test_all_names_lead_to_it(tracker: Tracker, logged: tuple[str, str], tmp_path: Path, reference: str) -> None:
    run_id, model_id = logged
    found = find_model(tracker.client, reference.format(run=run_id, model=model_id), tmp_path)
    assert (found.model_id, found.run_id) == (model_id, run_id)
    assert (found.folder / "config.json").exists()
    assert (found.folder.parent / "MLmodel").exists()
    assert not list(tmp_path.iterdir()), "what lies on this machine is not copied"


@pytest.mark.parametrize("config", ["config.json", "adapter_config.json"])
@pytest.mark.parametrize("below", ["", "model"])
def test_a_folder_is_a_model_or_holds_one(tracker: Tracker, tmp_path: Path, below: str, config: str) -> None:
    (tmp_path / below).mkdir(exist_ok=True)
    (tmp_path / below / config).write_text("{}")
    assert find_model(tracker.client, str(tmp_path), tmp_path) == FoundModel(tmp_path / below, None, None)


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("models:/name@nobody", "not found in MLflow"),
        ("models:/name/7", "not found in MLflow"),
        ("0" * 32, "not found in MLflow"),
        ("somewhere", "expected a model's folder, a run's id"),
        (str(Path(__file__).parent), "found a folder without config.json"),
    ],
)
def test_what_is_no_model_is_told(
    tracker: Tracker, logged: tuple[str, str], tmp_path: Path, reference: str, says: str
) -> None:
    with pytest.raises(RecipeError, match=says):
        find_model(tracker.client, reference, tmp_path)
