"""The page on finding: its Python runs against a store and finds what is there, and it names all that is written."""

import re
from pathlib import Path
from typing import Any

import mlflow
import pytest

from tests.tracked_history import ONE_SET, Small

PAGE = (Path(__file__).parents[2] / "docs" / "finding.md").read_text(encoding="utf-8")


@pytest.fixture
def found(small_of_ones_own: Small, monkeypatch: pytest.MonkeyPatch) -> tuple[Small, dict[str, Any]]:
    """The store, and all names that the page's code has at its end."""
    small = small_of_ones_own
    before = mlflow.get_tracking_uri()
    for name, value in (("first", 0.7), ("second", 0.9)):
        small.tracker.client.log_metric(
            small.runs[name],
            "eval_loss",
            value,
            model_id=small.models[name],
            dataset_name="sums-eval",
            dataset_digest=ONE_SET,
        )
    monkeypatch.chdir(small.folder)
    mlflow.set_tracking_uri(small.tracker.tracking_uri)
    names: dict[str, Any] = {}
    try:
        for number, block in enumerate(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)):
            exec(compile(block, f"block {number} of docs/finding.md", "exec"), names)
    finally:
        mlflow.set_tracking_uri(before)
    return small, names


def ids(runs: list[Any]) -> list[str]:
    return [run.info.run_id for run in runs]


def test_the_python_on_the_page_finds_what_is_there(found: tuple[Small, dict[str, Any]]) -> None:
    small, names = found
    assert names["best"].model_id == small.models["second"]
    assert [model.model_id for model in names["ranked"]] == [small.models["first"], small.models["second"]]
    assert ids(names["runs"]) == [small.runs["second"], small.runs["first"]]
    assert ids(names["eager"]) == [small.runs["second"]]
    assert names["model"].model_id == small.models["second"]
    assert "learning_rate: 0.0002" in names["recipe"]
    assert re.fullmatch("[0-9a-f]{40}", names["commit"])
    assert names["data"]["eval"] == ONE_SET
    assert [Path(path).name for path in sorted(names["sources"])] == ["a.jsonl", "b.jsonl", "c.jsonl"]
    assert names["sources"][str(small.folder / "sums" / "a.jsonl")] == names["digest"]
    assert set(ids(names["readers"])) == {small.runs[name] for name in ("first", "second", "failed")}
    assert set(names["files"].values()) == {small.runs["other"]}
    assert len(names["files"]) == 40
    assert names["fates"] == {small.runs[name]: "not rejected" for name in ("first", "second")}
    assert names["changed"] == {"training/learning_rate": ("0.0001", "0.0002")}


def test_the_page_names_all_that_a_run_and_a_model_carry(small: Small) -> None:
    for run in small.history.runs():
        stored = small.tracker.client.get_run(run.run_id)
        inputs = [tag for item in stored.inputs.dataset_inputs for tag in item.tags]
        assert_named([*stored.data.tags, *(tag.key for tag in inputs)])
        assert {tag.value for tag in inputs if tag.key == "mlflow.data.context"} <= set(re.findall("`([a-z]+)`", PAGE))
        assert all(f"`{item.path}`" in PAGE for item in small.tracker.client.list_artifacts(run.run_id))
    for model in small.history.models():
        assert_named(list(model.tags))


def assert_named(tags: list[str]) -> None:
    """MLflow's own tags are not ours to explain."""
    for tag in tags:
        pattern = re.sub(r"^(sft\.artifact\.|sft\.source_commit\.).*", r"\1<", tag)
        assert f"`{pattern}" in PAGE or (tag.startswith("mlflow.") and "git" not in tag), (
            f"{tag} is not in docs/finding.md"
        )
