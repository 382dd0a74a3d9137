"""Looking at data from the command line: rows token by token, traces in both directions, the forecast."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def looked_at(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    """A workspace whose row 5 has no answer, and whose row 9 is too long."""
    workspace = new_workspace("looked-at", prefect_url=prefect_url, num_rows=40)
    lines = workspace.data.read_text().splitlines()
    lines[5] = json.dumps({"question": "nobody knows", "answer": None})
    lines[9] = json.dumps({"question": "count:", "answer": " 1 2 3 4 5" * 30})
    workspace.data.write_text("\n".join(lines) + "\n")
    return workspace


@pytest.fixture(scope="module")
def run(looked_at: Workspace) -> dict[str, Any]:
    return looked_at.ok("run", "training.per_device_train_batch_size=2")


def look(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    outcome = workspace.sft(*arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.result


def test_check_tells_what_training_will_take_and_training_takes_it(looked_at: Workspace, run: dict[str, Any]) -> None:
    told = looked_at.ok("check", "training.per_device_train_batch_size=2")["forecast"]
    metrics = (Path(run["artifacts"]["train_model"]) / "metrics.jsonl").read_text().splitlines()
    assert told["steps"] == json.loads(metrics[-1])["max_steps"] == 6
    result = json.loads((Path(run["artifacts"]["train_model"]) / "result.json").read_text())
    assert told["num_parameters"] == result["num_parameters"]
    assert told["memory"]["total"] > 4 * 4 * told["num_parameters"]
    assert told["prompts"] == run["scorecard"]["num_prompts"]


def test_rows_are_shown_with_marks_where_there_are_no_colours(looked_at: Workspace) -> None:
    outcome = looked_at.sft("show", "recipe.yaml", "--row", "sums:1")
    assert outcome.code == 0, outcome.stderr
    assert "1 plus 1 is⟦ 2<eos>⟧" in outcome.stdout
    assert "row 1, line 2" in outcome.stdout
    assert "\x1b[" not in outcome.stdout


def test_the_folder_of_a_run_shows_the_same_rows_as_its_recipe(looked_at: Workspace, run: dict[str, Any]) -> None:
    by_recipe = look(looked_at, "show", "recipe.yaml", "--rows", "4")
    by_folder = look(looked_at, "show", run["model_dir"], "--rows", "4")
    assert by_folder == by_recipe
    worst = look(looked_at, "show", run["model_dir"], "--worst")["rows"]
    assert {row["why"] for row in worst} >= {"fewest trained tokens", "longest that is whole"}


def test_a_step_leads_to_source_lines_and_each_line_back_to_its_block(
    looked_at: Workspace, run: dict[str, Any]
) -> None:
    step = look(looked_at, "trace", run["model_dir"], "--step", "3")
    lines = looked_at.data.read_text().splitlines()
    assert step["segments"]
    assert {segment["block"] for segment in step["segments"]} == {block for batch in step["batches"] for block in batch}
    for segment in step["segments"][:2]:
        assert json.loads(segment["excerpt"])["prompt"] == json.loads(lines[segment["line"] - 1])["question"]
        [back] = look(looked_at, "trace", run["model_dir"], "--line", f"sums.jsonl:{segment['line']}")["rows"]
        assert segment["block"] in [place["block"] for place in back["places"]]


def test_a_row_that_was_rejected_is_told_why(looked_at: Workspace, run: dict[str, Any]) -> None:
    outcome = looked_at.sft("trace", run["dataset"] if "dataset" in run else run["model_dir"], "--row", "sums:5")
    assert "rejected" in outcome.stdout
    assert "`completion` is null" in outcome.stdout


def test_questions_that_cannot_be_answered_are_mistakes(looked_at: Workspace, run: dict[str, Any]) -> None:
    for arguments, message in (
        (["--block", "1", "--row", "sums:1"], "expected one of --block, --step, --row and --line"),
        (["--step", "7"], "training has steps 1 to 6, found 7"),
        (["--row", "sums"], "such as gsm8k:12"),
    ):
        outcome = looked_at.sft("trace", run["model_dir"], *arguments)
        assert outcome.code == 2
        assert message in outcome.stderr
