"""What has changed since a run: data, recipe, code, each told by itself; and which run is looked at."""

import json
from pathlib import Path
from typing import Any

import pytest

from flows.preparation import PreparedData
from flows.reports.retrain_report import Retrained, as_markdown, known_difference
from sft_core.recipe import Recipe
from sft_core.store.artifact import ArtifactRef
from sft_core.store.file_digests import FileDigests
from sft_core.store.ledger import Ledger
from tasks.tracking import log_origin
from tasks.tracking.changes import Changes, changes_since
from tasks.tracking.lookup.history import RunFacts
from tasks.tracking.newest import newest_finished
from tasks.tracking.provenance import identify
from tasks.tracking.sweeps import begin_sweep, log_trials, name_trial
from tests.tracked_history import Small, write_rows


class Place:
    """A recipe over two files, one finished run of it, and what can be changed."""

    def __init__(self, small: Small) -> None:
        self.small = small
        self.digests = FileDigests.below(small.folder / "home")
        self.rows = write_rows(small.folder / "mine", "a.jsonl", 3)
        write_rows(small.folder / "mine", "b.jsonl", 2)
        self.recipe = small.recipe("mine")
        self.run_id = self.run(self.recipe)

    def run(self, recipe: Recipe, **tags: str) -> str:
        from sft_core.pretrained.model import locate_model
        from sft_core.recipe.inputs import locate_inputs

        with self.small.tracker.run(recipe, identify(recipe, self.digests)) as run:
            inputs, model = locate_inputs(recipe, self.digests), locate_model(recipe.model, self.digests)
            log_origin(run, recipe, inputs, model, self.small.folder / "home", self.digests)
            run.set_tags(tags)
            return run.run_id

    @property
    def newest(self) -> RunFacts:
        found = newest_finished(self.small.history, "mine", "sft")
        assert found is not None
        return found

    def changes(self, recipe: Recipe | None = None) -> Changes:
        return changes_since(self.small.history, self.newest, recipe or self.recipe, self.digests)


@pytest.fixture
def place(small_of_ones_own: Small) -> Place:
    return Place(small_of_ones_own)


def test_what_is_the_same_did_not_change(place: Place) -> None:
    assert place.changes() == Changes([], {}, [])
    assert newest_finished(place.small.history, "nothing", "sft") is None
    assert newest_finished(place.small.history, "mine", "elsewhere") is None


def test_data_and_recipe_are_told_apart(place: Place) -> None:
    place.rows.write_text('{"text": "other"}\n', encoding="utf-8")
    write_rows(place.small.folder / "mine", "c.jsonl", 1)
    (place.small.folder / "mine" / "b.jsonl").unlink()
    found = place.changes(place.small.recipe("mine", 2e-4))
    assert found.data == ["rows a.jsonl: changed", "rows b.jsonl: removed", "rows c.jsonl: added"]
    assert found.recipe == {"training/learning_rate": ("0.0001", "0.0002")}
    assert found.code == []
    assert found.of(("recipe",)) == ["recipe: training/learning_rate 0.0001 → 0.0002"]
    assert len(found.of(("data", "recipe", "code"))) == 4
    json.dumps(found.as_json())


def test_a_file_that_was_written_again_is_no_change_of_data(place: Place) -> None:
    place.rows.write_bytes(place.rows.read_bytes())
    assert place.changes() == Changes([], {}, [])


def test_code_is_told_by_itself(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("tasks.tracking.changes", "tasks.tracking.provenance"):
        monkeypatch.setattr(f"{module}.pipeline_code", lambda: "f" * 32)
    found = place.changes()
    assert (found.data, found.recipe) == ([], {})
    assert len(found.code) == 1
    assert "→ ffffffff" in found.code[0]


def test_a_function_of_the_recipe_is_data_even_where_code_changed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = place.small.folder / "own_scorer.py"
    scorer.write_text("def score(answer, reference):\n    return 1.0\n", encoding="utf-8")
    monkeypatch.chdir(place.small.folder)
    monkeypatch.syspath_prepend(place.small.folder)
    recipe = place.small.recipe("mine", evaluation={"metrics": ["own_scorer.score"]})
    place.run(recipe)
    assert place.changes(recipe) == Changes([], {}, [])
    scorer.write_text("def score(answer, reference):\n    return 0.5\n", encoding="utf-8")
    assert place.changes(recipe).data == ["a function that the recipe names"]


def test_trials_and_sweeps_are_no_runs_of_the_recipe(place: Place) -> None:
    trial = place.small.recipe("mine", 5e-4)
    with place.small.tracker.run(place.recipe, "sweep-abc") as sweep:
        begin_sweep(sweep, "abc")
        trial_id = place.run(trial)
        assert name_trial(sweep, "abc", identify(trial, place.digests)) == trial_id
        assert name_trial(sweep, "abc", "no such key") is None
        log_trials(sweep, [{"trial": 1, "training.learning_rate": 5e-4, "error": None}], trial_id)
    client = place.small.tracker.client
    assert client.get_run(trial_id).data.tags["mlflow.parentRunId"] == sweep.run_id
    assert client.get_run(sweep.run_id).data.tags["sft.best_run"] == trial_id
    table = Path(client.download_artifacts(sweep.run_id, "trials.csv")).read_text()
    assert table == "trial,training.learning_rate,error\n1,0.0005,\n"
    assert place.newest.run_id == place.run_id


def test_without_the_earlier_data_set_mlflow_is_asked(small: Small) -> None:
    run = small.history.run(small.runs["first"])
    facts: dict[str, Any] = {"rows": 12, "tokens": 130, "blocks": 2, "digest": "0" * 32}
    data = PreparedData(
        dataset=ArtifactRef(stage="pack_shards", name="sums", key="a" * 32),
        folder=Path("folder"),
        report=Path("report.html"),
        splits={"train": facts},
        ledger=Ledger(),
        verdicts={},
        artifacts={},
        artifact_keys={},
        stages={},
    )
    found = known_difference(run, data, "it is gone")
    assert found["by_row"] is False
    assert found["is_same"] is False
    assert (found["splits"]["train"]["rows"], found["splits"]["train"]["tokens"]) == ((10, 12), (100, 130))
    assert found["splits"]["eval"]["rows"] == (10, None)
    page = as_markdown(
        Retrained(recipe="sums", earlier_run_id=run.run_id, changes=["data: x"], ignored=[], difference=found)
    )
    assert "rows are not compared: it is gone" in page
    assert "| train rows | 10 | 12 |" in page
