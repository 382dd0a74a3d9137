"""Two versions of a model, the way back, and what pruning leaves: on one home, as a user would."""

from pathlib import Path
from typing import Any

import mlflow
import pandas
import pytest
from conftest import Workspace

pytestmark = pytest.mark.e2e
OTHER = ("training.learning_rate=0.006", "training.max_steps=8")
EVERYTHING = ("prune", "--keep-days", "0", "--keep-runs", "0")
THIRD = ("name=third", "tokens.max_length=96")


def ok(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    outcome = workspace.sft(*arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.result


def test_promotion_roll_back_and_pruning_on_one_home(workspace: Workspace) -> None:
    """One story, because each run takes seconds: two versions, a recipe that is given up, and a pruned home."""
    first, second = workspace.ok("run"), workspace.ok("run", *OTHER)
    given_up = workspace.ok("prepare", *THIRD)
    assert (first["is_champion"], second["is_champion"]) == (True, True), second["verdict"]

    back = ok(workspace, "rollback", "sums", "--reason", "it swears")
    assert back["aliases"] == {"champion": "1"}
    judged = ok(workspace, "promote", "sums/2")
    assert (judged["is_promoted"], judged["numbers"]["rule"]) == (False, "rolled back")
    forced = ok(workspace, "promote", "sums/2", "--recipe", "recipe.yaml", "--force", "mended")
    assert forced["aliases"] == {"champion": "2", "previous": "1"}
    assert forced["numbers"]["forced"] == "mended"

    _delete_first_version(workspace, first)
    would = ok(workspace, *EVERYTHING)
    assert any("pack_shards/" in folder["path"] for folder in would["going"])
    assert Path(given_up["dataset"]).exists(), "nothing is removed unless --yes says so"
    assert ok(workspace, *EVERYTHING, "--yes")["freed_bytes"] == would["freed_bytes"] > 10_000
    assert not Path(given_up["dataset"]).exists()
    assert not Path(first["model_dir"]).exists()

    assert _loads(workspace, "models:/sums@champion")
    traced = ok(workspace, "trace", second["model_dir"], "--step", "3")
    assert len(traced["segments"]) > 0
    again = workspace.ok("run", *OTHER)
    assert set(again["stages"].values()) == {"cached"}
    assert again["model_uri"] == second["model_uri"]


def _delete_first_version(workspace: Workspace, first: dict[str, Any]) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{workspace.home}/mlflow.db")
    client.delete_model_version("sums", "1")
    client.delete_run(first["mlflow_run_id"])


def _loads(workspace: Workspace, uri: str) -> bool:
    mlflow.set_tracking_uri(f"sqlite:///{workspace.home}/mlflow.db")
    return len(mlflow.pyfunc.load_model(uri).predict(pandas.DataFrame({"prompt": ["1 plus"]}))) == 1
