"""Mistakes are errors of the project, with its messages; nothing is computed before they are found."""

from pathlib import Path

import pytest

import sft


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in an empty folder, with changes of the environment undone."""
    import os

    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SFT_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_recipe_that_does_not_exist() -> None:
    with pytest.raises(sft.UserError, match=r"expected a recipe at 'missing.yaml', found no such file"):
        sft.load_recipe("missing.yaml")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("training.learning_rte", "training.learning_rte: unknown key; did you mean 'learning_rate'?"),
        ("trainin.max_steps", "trainin: unknown key; did you mean 'training'?"),
        ("tokens.learning_rate", "tokens.learning_rate: unknown key; did you mean 'training.learning_rate'?"),
    ],
)
def test_an_override_of_an_unknown_field_gets_a_suggestion(path: str, message: str) -> None:
    with pytest.raises(sft.UserError) as caught:
        sft.load_recipe(sft.quickstart(), {path: 1})
    assert str(caught.value) == f"recipes/quickstart.yaml: {message}"


def test_values_of_overrides_are_python_values() -> None:
    recipe = sft.load_recipe(
        sft.quickstart(),
        {"training.learning_rate": 1e-5, "sources.0.columns": {"prompt": "a: b"}, "model.tokenizer": "null"},
    )
    assert recipe.training.learning_rate == 1e-5
    assert recipe.sources[0].columns == {"prompt": "a: b"}
    assert recipe.model.tokenizer == "null"


@pytest.mark.parametrize("function", [sft.check, sft.plan, sft.prepare, sft.run, sft.show])
def test_a_source_that_does_not_exist_is_found_before_any_work(function, tmp_path: Path) -> None:
    recipe = sft.load_recipe(sft.quickstart(), {"sources.0.path": "missing.jsonl"})
    with pytest.raises(sft.UserError, match=r"missing\.jsonl"):
        function(recipe)
    assert not (tmp_path / "state" / "artifacts").exists()
    assert not (tmp_path / "state" / "prefect").exists()


def test_a_state_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recipe = sft.load_recipe(sft.quickstart(), {"runtime.home": str(tmp_path / "file")})
    with pytest.raises(sft.UserError, match=r"runtime\.home: expected a folder that can be made"):
        sft.check(recipe)


def test_a_folder_that_belongs_to_no_training(tmp_path: Path) -> None:
    with pytest.raises(sft.UserError, match="expected a recipe, a data set or a training run's folder"):
        sft.show(tmp_path)


def test_scores_where_nothing_has_run() -> None:
    with pytest.raises(sft.UserError, match="expected an MLflow server"):
        sft.scorecard("models:/quickstart/1")
    with pytest.raises(sft.UserError, match="expected an MLflow server"):
        sft.find_runs()


def test_the_quickstart_keeps_files_that_exist(tmp_path: Path) -> None:
    recipe = sft.quickstart(tmp_path / "place")
    recipe.write_text("name: mine\n")
    assert sft.quickstart(tmp_path / "place") == recipe
    assert recipe.read_text() == "name: mine\n"
    assert (recipe.parent / "quickstart" / "tokenizer" / "tokenizer.json").is_file()
