"""What MLflow alone can say about runs, models and files."""

import json
import shutil
from pathlib import Path

import pytest

from sft_core.errors import RecipeError
from sft_core.registry.promotion import less_is_better
from sft_core.store.fingerprint import digest_file
from tasks.tracking.lineage import FILES_LISTED, recipe_digest
from tasks.tracking.lookup.difference import SourceChange, difference_of
from tasks.tracking.lookup.history import History, open_history, runs_of
from tasks.tracking.lookup.models import choose_data, measured_by, origin_of
from tasks.tracking.lookup.sources import FileUse, digest_of, recorded_files, uses_of
from tests.tracked_history import ONE_SET, OTHER_SET, Small, write_rows


def names_of(small: Small, uses: list[FileUse]) -> list[str]:
    by_id = {run_id: name for name, run_id in small.runs.items()}
    return [by_id[use.run.run_id] for use in uses]


def uses(small: Small, path: Path) -> list[FileUse]:
    return uses_of(small.history, digest_of(small.history, path), path)


def test_models_are_ranked_on_the_same_data_alone(small: Small) -> None:
    found = measured_by(small.history, "eval_loss", None, is_less_better=True)
    assert {digest: [model.value for model in models] for digest, models in found.items()} == {
        ONE_SET: [1.5, 2.0],
        OTHER_SET: [0.5],
    }
    assert [(model.uri, model.aliases) for model in found[ONE_SET]] == [
        ("models:/sums/2", ["champion"]),
        ("models:/sums/1", []),
    ]
    assert found[OTHER_SET][0].uri == f"models:/{small.models['other']}"
    most = measured_by(small.history, "exact_match", "sums", is_less_better=False)
    assert [model.value for model in most[ONE_SET]] == [0.3, 0.1]
    assert measured_by(small.history, "no_such_number", None, is_less_better=True) == {}


def test_the_name_of_a_metric_says_what_is_better() -> None:
    assert [less_is_better(name) for name in ("eval_loss", "eval_perplexity", "exact_match", "rougeL")] == [
        True,
        True,
        False,
        False,
    ]


def test_a_measurement_on_other_data_counts_for_that_data(small_of_ones_own: Small) -> None:
    small = small_of_ones_own
    for value in (0.4, 0.3):
        small.tracker.client.log_metric(
            small.runs["first"],
            "eval_loss",
            value,
            step=3,
            model_id=small.models["first"],
            dataset_name="news",
            dataset_digest="3" * 32,
        )
        found = measured_by(small.history, "eval_loss", None, is_less_better=True)
        assert [model.value for model in found["3" * 32]] == [value]
        assert [model.value for model in found[ONE_SET]] == [1.5, 2.0]


def test_a_score_that_is_no_number_is_nobodys_best(small_of_ones_own: Small) -> None:
    small = small_of_ones_own
    small.tracker.client.set_logged_model_tags(small.models["second"], {"sft.scorecard": '{"eval_loss": NaN}'})
    found = measured_by(small.history, "eval_loss", None, is_less_better=True)
    assert [model.value for model in found[ONE_SET]] == [2.0]


def test_data_is_named_by_the_first_digits_of_its_digest(small: Small) -> None:
    found = measured_by(small.history, "eval_loss", None, is_less_better=True)
    assert choose_data(found, "11") == ONE_SET
    for digits, message in (("", "found 2 data sets"), ("9", "found no data sets with results; there are 1111")):
        with pytest.raises(RecipeError, match=message):
            choose_data(found, digits)


def test_runs_of_a_recipe_come_newest_first_and_by_status(small: Small) -> None:
    assert [run.run_id for run in runs_of(small.history, "sums", None)] == [
        small.runs[name] for name in ("failed", "second", "first")
    ]
    assert [run.run_id for run in runs_of(small.history, None, "failed")] == [small.runs["failed"]]
    newest = runs_of(small.history, "sums", "finished")[0]
    assert (newest.metric, newest.score, newest.data["eval"].digest) == ("eval_loss", 1.5, ONE_SET)
    assert newest.data["train"].rows == 10
    assert newest.commit is not None
    assert newest.seconds is not None
    for recipe, status in ((None, "fine"), ("no'name", None)):
        with pytest.raises(RecipeError):
            runs_of(small.history, recipe, status)


def test_a_recipe_is_the_same_if_every_field_is_but_where_it_runs(small: Small) -> None:
    same = small.recipe("sums", runtime={"num_workers": 3})
    runs = {run.run_id: run.tags["sft.recipe_digest"] == recipe_digest(same) for run in small.history.runs()}
    assert runs == {
        small.runs["first"]: True,
        small.runs["second"]: False,
        small.runs["other"]: False,
        small.runs["failed"]: True,
    }


def test_a_file_is_found_by_its_bytes_wherever_it_lies(small: Small, tmp_path: Path) -> None:
    copy = shutil.copy(small.folder / "sums" / "a.jsonl", tmp_path / "x.jsonl")
    found = uses(small, Path(copy))
    assert names_of(small, found) == ["failed", "second", "first"]
    assert {(use.source, use.file, use.has_same_bytes) for use in found} == {("rows", "a.jsonl", True)}
    assert found[0].path == str(small.folder / "sums" / "a.jsonl")


def test_a_file_that_changed_since_is_found_by_its_path_and_told_to_be_other_bytes(small: Small) -> None:
    path = small.folder / "sums" / "b.jsonl"
    assert names_of(small, uses(small, path)) == ["failed", "second"]
    before = path.read_bytes()
    path.write_bytes(before + b'{"text": "new"}\n')
    try:
        found = uses(small, path)
    finally:
        path.write_bytes(before)
    assert names_of(small, found) == ["failed", "second", "first"]
    assert not any(use.has_same_bytes for use in found)
    assert uses(small, write_rows(small.folder, "nobody.jsonl", 9)) == []


def test_a_file_of_a_source_with_many_is_found_in_its_list(small: Small, tmp_path: Path) -> None:
    assert len(list((small.folder / "many").iterdir())) > FILES_LISTED
    run = small.history.run(small.runs["other"])
    assert [(source.files, source.source) for source in run.sources] == [(40, "rows")]
    assert len(recorded_files(small.history, run)) == 40
    path = small.folder / "many" / "17.jsonl"
    [found] = uses(small, Path(shutil.copy(path, tmp_path / "y.jsonl")))
    assert (found.run.run_id, found.file, found.has_same_bytes) == (small.runs["other"], "17.jsonl", True)
    other = write_rows(tmp_path, "17.jsonl", 99)
    assert uses_of(small.history, digest_of(small.history, other), path)[0].has_same_bytes is False


def test_a_model_leads_back_to_files_and_says_which_are_still_there(small_of_ones_own: Small) -> None:
    small = small_of_ones_own
    (small.folder / "sums" / "a.jsonl").unlink()
    for reference in ("models:/sums/1", small.models["first"], small.runs["first"]):
        origin = origin_of(small.history, reference)
        assert origin.model_id == small.models["first"]
        assert origin.run.run_id == small.runs["first"]
    assert {file.file: file.state for file in origin.files} == {"a.jsonl": "not here", "b.jsonl": "changed"}
    newest = origin_of(small.history, "models:/sums@champion")
    assert newest.versions[0].aliases == ["champion"]
    assert {file.file: file.state for file in newest.files} == {
        "a.jsonl": "not here",
        "b.jsonl": "unchanged",
        "c.jsonl": "unchanged",
    }
    assert newest.files[1].digest == digest_file(small.folder / "sums" / "b.jsonl")
    assert newest.recipe is not None
    assert "learning_rate: 0.0002" in newest.recipe
    assert newest.scores == {"eval_loss": 1.5, "exact_match": 0.3}
    assert newest.base["digest"] == newest.run.tags["sft.model_digest"]
    json.dumps(newest.as_result())


def test_two_runs_differ_in_what_was_changed_and_in_nothing_else(small: Small) -> None:
    history = small.history
    found = difference_of(history, history.run(small.runs["first"]), history.run(small.runs["second"][:12]))
    assert found.recipe == {"training/learning_rate": ("0.0001", "0.0002")}
    assert found.sources == [SourceChange("rows", "b.jsonl", "changed"), SourceChange("rows", "c.jsonl", "added")]
    assert set(found.data) == {"train digest"}
    assert found.scores == {"eval_loss": (2.0, 1.5), "exact_match": (0.1, 0.3)}
    assert found.code == found.environment == {}
    back = difference_of(history, found.second, found.first)
    assert [change.change for change in back.sources] == ["changed", "removed"]
    json.dumps(found.as_result())


def test_runs_without_a_model_are_compared_by_what_they_have(small: Small) -> None:
    history = small.history
    found = difference_of(history, history.run(small.runs["first"]), history.run(small.runs["failed"]))
    assert found.recipe == {}
    assert found.scores["eval_loss"] == (2.0, None)


def test_a_run_that_says_what_it_is_made_from_is_left_as_it_is(small_of_ones_own: Small) -> None:
    small = small_of_ones_own
    before = small.history.run(small.runs["first"])
    with small.tracker.run(small.recipe("sums"), "first") as run:
        assert run.run_id == before.run_id
        small.log_origin(run, small.recipe("sums"))
    assert small.history.run(small.runs["first"]).sources == before.sources


def test_a_home_without_runs_is_a_mistake_and_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(RecipeError, match="found neither"):
        open_history(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_runs_of_others_in_the_same_server_are_left_out(small_of_ones_own: Small) -> None:
    client = small_of_ones_own.tracker.client
    client.create_run(small_of_ones_own.tracker.experiment_id)
    assert len(small_of_ones_own.history.runs()) == 4


def test_a_run_is_named_by_its_id_its_first_digits_or_its_model(small: Small) -> None:
    history: History = small.history
    for reference in (small.runs["second"], small.runs["second"][:12], "models:/sums@champion"):
        assert history.run(reference).run_id == small.runs["second"]
    for reference in ("", "f" * 32, "models:/sums@nobody"):
        with pytest.raises(RecipeError):
            history.run(reference)
