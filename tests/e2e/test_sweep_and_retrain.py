"""A sweep, and then training again when data changes, in one workspace on one Prefect server."""

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import RECIPE, Workspace, sums, write_rows

from sft_core.recipe.recipe_file import load_value

pytestmark = pytest.mark.e2e
RATE = "training.learning_rate"


@pytest.fixture(scope="module")
def place(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    workspace = new_workspace("sweep", prefect_url=prefect_url)
    training = {**RECIPE["training"], "max_steps": 2, "eval_strategy": "no", "eval_on_start": False}
    (workspace.folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, "training": training}), encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def swept(place: Workspace) -> dict[str, Any]:
    return place.ok("sweep", flags=("--grid", f"{RATE}=1e-4,3e-3"))


@pytest.fixture(scope="module")
def client(place: Workspace, swept: dict[str, Any]) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{place.home}/mlflow.db")


@pytest.fixture(scope="module")
def retrained(place: Workspace, swept: dict[str, Any]) -> dict[str, Any]:
    """The first look: trials of a sweep are no runs of the recipe, so there is none yet."""
    return place.ok("retrain")


def test_trials_share_their_data_and_the_best_is_told(place: Workspace, swept: dict[str, Any]) -> None:
    assert [(trial["number"], trial["overrides"], trial["status"]) for trial in swept["trials"]] == [
        (1, {RATE: 1e-4}, "completed"),
        (2, {RATE: 3e-3}, "completed"),
    ]
    for stage, made in {"pack_shards": 1, "train_model": 2, "evaluate_model": 2}.items():
        assert len(list((place.home / "artifacts" / stage).glob("*/manifest.json"))) == made, stage
    assert len(list((place.home / "artifacts" / "tokenize_chats").glob("*/*/manifest.json"))) == 3
    assert swept["metric"] == "eval_loss"
    assert swept["best"]["number"] == 2
    assert all(trial["low"] < trial["score"] < trial["high"] for trial in swept["trials"])
    table = list(csv.DictReader(Path(swept["table"]).read_text().splitlines()))
    assert [load_value(row[RATE]) for row in table] == [1e-4, 3e-3]
    assert [float(row["eval_loss"]) for row in table] == [trial["score"] for trial in swept["trials"]]


def test_mlflow_has_the_trials_below_the_sweep_and_only_the_best_was_judged(swept: dict[str, Any], client: Any) -> None:
    above = client.get_run(swept["mlflow_run_id"])
    assert (above.info.status, above.data.tags["sft.kind"]) == ("FINISHED", "sweep")
    assert above.data.tags["sft.best_run"] == swept["best"]["mlflow_run_id"]
    assert {item.path for item in client.list_artifacts(above.info.run_id)} >= {"trials.csv", "trials.json"}
    for trial in swept["trials"]:
        tags = client.get_run(trial["mlflow_run_id"]).data.tags
        assert (tags["sft.sweep"], tags["mlflow.parentRunId"]) == (swept["sweep"], above.info.run_id)
    model = client.get_registered_model("sums")
    aliases = {alias: int(version) for alias, version in model.aliases.items()}
    assert aliases == {"champion": 2}, "no alias ever stood at the other trial"
    assert "sft.verdict" not in client.get_model_version("sums", "1").tags
    assert swept["is_champion"]


def test_a_sweep_in_which_all_fails_fails_and_says_why(place: Workspace) -> None:
    heads = "model.config.num_attention_heads"
    outcome = place.sft("sweep", "recipe.yaml", "--json", "--grid", f"{heads}=3,5")
    assert outcome.code == 1, outcome.stderr
    assert "all 2 trials failed; the first: " in outcome.result["error"]
    wrong = place.sft("sweep", "recipe.yaml", "--json", "--grid", f"{RATE}=1e-3,fast")
    assert wrong.code == 2
    assert f"trial 2 ({RATE}=fast): recipe.yaml: {RATE}: " in wrong.result["error"]


def test_the_best_trial_run_again_finds_its_training_done(swept: dict[str, Any], retrained: dict[str, Any]) -> None:
    assert swept["command"] == f"sft run recipe.yaml --set {RATE}=0.003"
    assert retrained["changes"] == ["no run of this recipe has finished yet"]
    run = retrained["run"]
    assert run["stages"]["train_model"] == run["stages"]["evaluate_model"] == "cached"
    assert run["scorecard"]["eval_loss"] == swept["best"]["score"]
    assert run["mlflow_run_id"] != swept["best"]["mlflow_run_id"]


def test_nothing_changed_ends_at_once_without_torch(place: Workspace, retrained: dict[str, Any]) -> None:
    script = (
        "import sys\n"
        "from sft_cli.main import app\n"
        "try:\n    app(['retrain', 'recipe.yaml', '--json'])\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=place.folder, env=place.environment()
    )
    print(f"nothing changed: {time.monotonic() - started:.1f} s")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["message"] == f"nothing changed since run {retrained['run']['mlflow_run_id']}"
    assert (found["changes"], found["run"], found["difference"]) == ([], None, None)


def test_appended_rows_are_told_and_trained_on(place: Workspace, retrained: dict[str, Any], client: Any) -> None:
    write_rows(place.data, sums(305))
    found = place.ok("retrain")
    assert found["changes"] == ["data: sums sums.jsonl: changed"]
    assert found["earlier_run_id"] == retrained["run"]["mlflow_run_id"]
    rows = found["difference"]["sources"]["sums"]
    assert {kind: rows[kind] for kind in ("rows", "same", "moved", "changed", "added", "removed")} == {
        "rows": [300, 305],
        "same": 300,
        "moved": 0,
        "changed": 0,
        "added": 5,
        "removed": 0,
    }
    assert rows["examples"] == {"added": [f"sums.jsonl row {row} (line {row + 1})" for row in range(300, 305)]}
    splits = found["difference"]["splits"]
    assert sum(splits[split]["rows"][1] - splits[split]["rows"][0] for split in splits) == 5
    run_id = found["run"]["mlflow_run_id"]
    assert client.get_run(run_id).data.tags["sft.retrained_after"] == found["earlier_run_id"]
    kept = json.loads(Path(client.download_artifacts(run_id, "data_difference.json")).read_text())
    assert kept["data"] == found["difference"]

    changed = sums(305)
    changed[7]["answer"], changed[200]["question"] = " unknown", "what is"
    write_rows(place.data, [*changed[:250], *changed[251:]])
    looked = place.ok("retrain", "training.weight_decay=0.1", flags=("--dry-run",))
    assert looked["changes"] == [
        "data: sums sums.jsonl: changed",
        "recipe: training/weight_decay 0.0 → 0.1",
    ]
    assert looked["run"] is None
    rows = looked["difference"]["sources"]["sums"]
    assert (rows["rows"], rows["changed"], rows["removed"], rows["added"]) == ([305, 304], 2, 1, 0)
    assert (rows["same"], rows["moved"]) == (248, 54), "what stood behind the row that is gone has moved"
    assert rows["examples"]["changed"] == ["sums.jsonl row 7 (line 8)", "sums.jsonl row 200 (line 201)"]
