"""What became of a source line in each run that read it."""

import json
import shutil
from pathlib import Path

import pytest

from flows.queries.find_row import find_line, find_row
from sft_core.errors import RecipeError
from sft_core.inspection import trace_row
from sft_core.pretrained.model import locate_model
from sft_core.recipe.inputs import locate_inputs
from sft_core.recipe.recipe_file import load_recipe
from sft_core.store.file_digests import FileDigests
from tasks.tracking import log_origin, log_stages
from tasks.tracking.lookup.history import History
from tests.fresh_mlflow import open_sqlite
from tests.sft_core.inspection.data_set import REJECTED_ROW, Prepared

TWO_RUNS = ("one", "two")


@pytest.fixture(scope="module")
def history(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> History:
    """Two runs on the same data, neither with a model."""
    folder = tmp_path_factory.mktemp("history")
    tracker = open_sqlite(folder)
    digests = FileDigests.below(folder)
    recipe = load_recipe(prepared.folder / "recipe.yaml")
    for name in TWO_RUNS:
        with tracker.run(recipe, name) as run:
            log_origin(
                run, recipe, locate_inputs(recipe, digests), locate_model(recipe.model, digests), folder, digests
            )
            log_stages(run, {"pack_shards": prepared.dataset.key})
            tracker.client.log_artifact(run.run_id, str(prepared.lineage.rejected))
    return History(tracker.client, tracker.tracking_uri, prepared.store.root)


@pytest.fixture
def without_artifacts(history: History, tmp_path: Path) -> History:
    return History(history.client, history.tracking_uri, tmp_path)


def test_a_line_is_found_in_every_run_by_the_bytes_of_a_copy(
    prepared: Prepared, history: History, tmp_path: Path
) -> None:
    copy = shutil.copy(prepared.folder / "sums.jsonl", tmp_path / "renamed.jsonl")
    seen = find_line(history, Path(copy), 5)
    assert len(seen) == len(TWO_RUNS)
    for one in seen:
        assert one.traces == trace_row(prepared.lineage, "sums", 4)
        assert (one.source, one.fate, one.models) == ("sums", one.traces[0].fate, [])
        json.dumps(one.as_result())
    assert find_row(history, seen[0].run, "sums", 4)[0].traces == seen[0].traces


def test_every_line_has_the_fate_that_the_data_set_gives_it(prepared: Prepared, history: History) -> None:
    fates = {find_line(history, prepared.folder / "sums.jsonl", line)[0].fate for line in range(1, 41, 3)}
    assert fates == {"trained", "held out"}
    rejected = find_line(history, prepared.folder / "sums.jsonl", REJECTED_ROW + 1)[0]
    assert rejected.fate == "rejected"
    assert rejected.reason is not None
    assert "`completion` is null" in rejected.reason


def test_without_artifacts_rejections_are_known_and_nothing_else(
    prepared: Prepared, without_artifacts: History
) -> None:
    path = prepared.folder / "sums.jsonl"
    rejected, kept = (find_line(without_artifacts, path, line)[0] for line in (REJECTED_ROW + 1, 1))
    assert (rejected.fate, rejected.traces) == ("rejected", [])
    assert rejected.reason is not None
    assert "`completion` is null" in rejected.reason
    assert (kept.fate, kept.reason, kept.steps) == ("not rejected", None, {})


def test_a_file_with_another_byte_was_seen_by_nobody(prepared: Prepared, history: History, tmp_path: Path) -> None:
    other = tmp_path / "sums.jsonl"
    other.write_bytes((prepared.folder / "sums.jsonl").read_bytes() + b"\n")
    assert find_line(history, other, 5) == []


def test_what_is_not_there_is_refused(prepared: Prepared, history: History) -> None:
    run = history.runs()[0]
    with pytest.raises(RecipeError, match="no row of a source begins in that line; a row of a file that has no lines"):
        find_line(history, prepared.folder / "sums.jsonl", 41)
    with pytest.raises(RecipeError, match="expected one of the sources chats, sums, found 'nobody'"):
        find_row(history, run, "nobody", 1)
    with pytest.raises(RecipeError, match="source 'sums' has no row 40"):
        find_row(history, run, "sums", 40)
