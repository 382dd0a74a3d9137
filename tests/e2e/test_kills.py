"""Killed in stage after stage, the same command comes to one finished run in which nothing is missing or twice."""

import json
import sqlite3
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace, make_workspace

pytestmark = pytest.mark.e2e


def runs(workspace: Workspace) -> list[tuple[str, str]]:
    """Id and status of every run, read beside MLflow."""
    file = workspace.home / "mlflow.db"
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=10) as database:
            return database.execute("SELECT run_uuid, status FROM runs").fetchall()
    except sqlite3.OperationalError:  # not there yet
        return []


def made(workspace: Workspace, stage: str) -> list[Path]:
    return list(workspace.home.glob(f"artifacts/{stage}/*/manifest.json"))


def kill_when(workspace: Workspace, is_time: Callable[[], object]) -> None:
    process = workspace.start("run", "recipe.yaml")
    deadline = time.monotonic() + 120
    while not is_time():
        assert process.poll() is None, process.communicate(timeout=60)[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)


def test_killed_in_preparation_evaluation_and_registration(tmp_path: Path, prefect_url: str) -> None:
    workspace = make_workspace(tmp_path, prefect_url, is_forked=False)
    kill_when(workspace, lambda: runs(workspace))
    assert not made(workspace, "pack_shards"), "killed while data was prepared"
    ((run_id, status),) = runs(workspace)
    assert status == "RUNNING"

    kill_when(workspace, lambda: made(workspace, "train_model"))
    assert not made(workspace, "evaluate_model"), "killed while the model was evaluated"
    assert runs(workspace) == [(run_id, "RUNNING")]

    kill_when(workspace, lambda: made(workspace, "evaluate_model"))
    assert not made(workspace, "register_model"), "killed while the model was registered"
    assert runs(workspace) == [(run_id, "RUNNING")]

    result = replace(workspace, is_forked=True).ok("run")
    assert runs(workspace) == [(run_id, "FINISHED")]
    assert result["mlflow_run_id"] == run_id
    assert result["mlflow_url"] is None
    _nothing_is_missing_or_twice(result)


def _nothing_is_missing_or_twice(result: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(result["tracking_uri"])
    run = client.get_run(result["mlflow_run_id"])
    steps = {
        name: [point.step for point in client.get_metric_history(run.info.run_id, name)]
        for name in ("loss", "eval_loss", "exact_match")
    }
    assert steps == {"loss": [2, 4, 6], "eval_loss": [0, 3, 6], "exact_match": [6]}
    table = json.loads(Path(client.download_artifacts(run.info.run_id, "samples.json")).read_text())
    samples = Path(result["artifacts"]["evaluate_model"]) / "samples.jsonl"
    assert len(table["data"]) == len(samples.read_text().splitlines())
    assert {item.path for item in client.list_artifacts(run.info.run_id)} == {
        "recipe.yaml",
        "environment.json",
        "plan.json",
        "report.html",
        "ledger.json",
        "rejected.jsonl",
        "samples.json",
        "sources.json",
        "intervals.json",
        "scored_items.arrow",
        "verdict.json",
    }
    assert run.data.tags["sft.num_processes"] == "1"
    assert run.data.tags["sft.attn_implementation"] == result["training"]["attn_implementation"]
    assert run.data.tags["sft.device"] == result["training"]["device"]
    assert f"/runs/{run.info.run_id}/artifacts/report.html" in run.data.tags["mlflow.note.content"]
    assert run.data.tags["prefect.flow_run_url"] in run.data.tags["mlflow.note.content"]
    assert "sft.closed" not in run.data.tags
