"""From a served model back to a source line, and from the line to the model, by `sft find` alone."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import RECIPE, Workspace, sums, write_rows

pytestmark = pytest.mark.e2e
REJECTED_ROW = 5


@pytest.fixture(scope="module")
def workspace(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    """Two sources; a row of the first has no answer, the second is held out."""
    workspace = new_workspace("finding", prefect_url=prefect_url, num_rows=60)
    rows: list[dict[str, Any]] = [*sums(60)]
    rows[REJECTED_ROW] = {"question": "nobody knows", "answer": None}
    write_rows(workspace.data, rows)
    write_rows(
        workspace.folder / "held.jsonl", [{"prompt": f"{i} minus 1 is", "completion": f" {i - 1}"} for i in range(9)]
    )
    sources = [*RECIPE["sources"], {"path": "held.jsonl", "split": "eval"}]
    recipe = {**RECIPE, "sources": sources, "formats": {"eval_fraction": 0}}
    (workspace.folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def run(workspace: Workspace) -> dict[str, Any]:
    return workspace.ok("run")


def find(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    outcome = workspace.sft("find", *arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.result


def test_a_champion_leads_to_a_source_line_and_the_line_to_the_champion(
    workspace: Workspace, run: dict[str, Any]
) -> None:
    origin = find(workspace, "origin", "models:/sums@champion")
    assert origin["run"]["run_id"] == run["mlflow_run_id"]
    assert yaml.safe_load(origin["recipe"])["training"]["max_steps"] == 6
    assert origin["run"]["commit"]
    assert origin["scores"] == pytest.approx(run["scorecard"], rel=1e-6)  # the model has the run's points
    assert origin["artifacts"]["pack_shards"] == run["artifacts"]["pack_shards"]
    assert set(origin["artifacts"]) == set(run["artifacts"])
    manifest = json.loads((Path(origin["artifacts"]["pack_shards"]) / "manifest.json").read_text())
    for split in ("train", "eval"):
        told, packed = origin["run"]["data"][split], manifest["facts"]["splits"][split]
        assert (told["digest"], told["rows"], told["tokens"]) == (packed["digest"], packed["rows"], packed["tokens"])
    assert [(file["source"], file["state"]) for file in origin["files"]] == [
        ("sums", "unchanged"),
        ("held", "unchanged"),
    ]

    step = json.loads(workspace.sft("trace", run["model_dir"], "--step", "2", "--json").stdout)
    segment = step["segments"][0]
    elsewhere = workspace.folder / "elsewhere" / "other-name.jsonl"
    elsewhere.parent.mkdir(exist_ok=True)
    shutil.copy(origin["files"][0]["path"], elsewhere)

    [use] = find(workspace, "file", str(elsewhere))["uses"]
    assert (use["run"]["run_id"], use["source"], use["has_same_bytes"]) == (run["mlflow_run_id"], "sums", True)
    [seen] = find(workspace, "row", f"{elsewhere}:{segment['line']}")["seen"]
    assert seen["models"] == ["models:/sums/1 @champion"]
    assert seen["fate"] == "trained"
    assert 2 in seen["steps"][str(segment["block"])]
    [trace] = seen["traces"]
    assert trace["places"][0]["block"] == segment["block"]
    assert trace["excerpt"] == segment["excerpt"]


def test_a_rejected_row_is_told_by_line_and_in_words(workspace: Workspace, run: dict[str, Any]) -> None:
    rejected = find(workspace, "row", f"sums.jsonl:{REJECTED_ROW + 1}")["seen"][0]
    assert rejected["fate"] == "rejected"
    assert "`completion` is null" in rejected["reason"]
    outcome = workspace.sft("find", "row", f"sums:{REJECTED_ROW}", "--run", run["mlflow_run_id"][:10])
    assert f"rejected, {rejected['reason']}" in outcome.stdout
    assert "models:/sums/1 @champion" in outcome.stdout


def test_the_same_is_said_in_words(workspace: Workspace, run: dict[str, Any]) -> None:
    run_id, score = run["mlflow_run_id"], f"eval_loss {run['scorecard']['eval_loss']:.6g}"
    for arguments, words in (
        (("origin", "models:/sums/1"), ("models:/sums/1 @champion", run_id, "promoted", "2 unchanged", score)),
        (("runs", "recipe.yaml"), (run_id[:8], "sums =", "= every field as in the recipe file")),
        (("best", "--metric", "eval_loss"), ("measured on 1 data sets", "models:/sums/1")),
    ):
        outcome = workspace.sft("find", *arguments)
        assert outcome.code == 0, outcome.stderr
        assert [word for word in words if word not in outcome.stdout] == []


def test_a_question_that_cannot_be_answered_is_a_mistake(workspace: Workspace, run: dict[str, Any]) -> None:
    outcome = workspace.sft("find", "row", "sums.jsonl:1000")
    assert outcome.code == 2
    assert "no row of a source begins in that line" in outcome.stderr
