"""`sft evaluate` on what a run has left: the same numbers, nothing done twice, and all of it in MLflow."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import Workspace, write_rows
from tests.e2e.fake_hub import COMMIT, serve_hub

pytestmark = pytest.mark.e2e
TASK = """
task: adding
dataset_path: org/adding
test_split: test
output_type: multiple_choice
doc_to_text: "{{prompt}}"
doc_to_choice: ["{{completion}}", "-1"]
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def evaluate(workspace: Workspace, *arguments: str) -> dict[str, Any]:
    outcome = workspace.sft("evaluate", *arguments, "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.result


@pytest.fixture(scope="module")
def shared(new_workspace: Callable[..., Workspace], prefect_url: str) -> tuple[Workspace, dict[str, Any]]:
    workspace = new_workspace("evaluate", prefect_url=prefect_url, num_rows=120)
    return workspace, workspace.ok("run")


def test_a_registered_model_scores_on_its_own_rows_as_it_did_in_its_run(
    shared: tuple[Workspace, dict[str, Any]],
) -> None:
    workspace, run = shared
    report = evaluate(workspace, "models:/sums@champion", "--recipe", "recipe.yaml")
    expected = {name: value for name, value in run["scorecard"].items() if not name.startswith("baseline_")}
    assert report["scorecard"] == pytest.approx(expected, rel=1e-6)
    assert report["intervals"].keys() == run["intervals"].keys() >= {"eval_loss", "exact_match"}
    client = MlflowClient(run["tracking_uri"])
    trained, scored = (client.get_run(of["mlflow_run_id"]) for of in (run, report))
    digests = [one.dataset.digest for one in trained.inputs.dataset_inputs if one.dataset.name == "sums-eval"]
    assert [one.dataset.digest for one in scored.inputs.dataset_inputs] == digests, "the same rows, known by content"
    assert scored.data.metrics == pytest.approx(report["scorecard"])
    files = {file.path for file in client.list_artifacts(scored.info.run_id)}
    assert files >= {"intervals.json", "scored_items.arrow", "samples.json", "recipe.yaml"}
    of_model = {point.key: point for point in client.get_logged_model(report["model_id"]).metrics}
    assert of_model["exact_match"].dataset_digest == digests[0]

    again = evaluate(workspace, run["model_dir"], "--recipe", "recipe.yaml")
    assert again["mlflow_run_id"] == report["mlflow_run_id"], "the same bytes under another name"
    assert set(again["stages"].values()) == {"cached"}


def test_two_models_are_compared_on_rows_from_a_file_and_on_a_task_of_lm_eval(
    shared: tuple[Workspace, dict[str, Any]],
) -> None:
    workspace, run = shared
    rows = [{"prompt": f"{i} plus {i} is", "completion": f" {2 * i}"} for i in range(12)]
    write_rows(workspace.folder / "other.jsonl", rows)
    hub, tasks = workspace.folder / "hub", workspace.folder / "tasks"
    for folder in (hub / "datasets" / "org" / "adding", tasks):
        folder.mkdir(parents=True)
    write_rows(hub / "datasets" / "org" / "adding" / "test.jsonl", rows[:7])
    (tasks / "adding.yaml").write_text(TASK)
    options = ("--data", "other.jsonl", "--set", "evaluation.num_prompts=6", "--set", "evaluation.metrics=[f1]")
    options += ("--set", "evaluation.lm_eval.tasks=[adding]", "--set", "evaluation.lm_eval.include_path=tasks")
    with serve_hub(hub) as address:
        extra = {"HF_ENDPOINT": address, "HF_HOME": str(workspace.folder / "hf"), "HF_HUB_OFFLINE": "0"}
        online = replace(workspace, variables=tuple(extra.items()))
        compared = evaluate(online, run["mlflow_run_id"], "--against", run["model_dir"], *options)
    assert compared["model"]["ledger"]["rows_held_out"] == 12
    assert compared["model"]["scorecard"]["num_prompts"] == 6
    gains = compared["gains"]
    assert {name: gain["num_rows"] for name, gain in gains.items()} == {
        "eval_loss": 12,
        "eval_mean_token_accuracy": 12,
        "f1": 6,
        "lm_eval/adding/acc": 7,
    }
    assert {(gain["low"], gain["value"], gain["high"]) for gain in gains.values()} == {(0, 0, 0)}, "one model twice"

    report = compared["model"]
    folder = Path(report["artifacts"]["evaluate_model"])
    inputs = json.loads((folder / "manifest.json").read_text())["payload"]["inputs"]
    assert [task["data"]["commit"] for task in inputs["evaluation"]["harness"]["tasks"]] == [COMMIT]
    client = MlflowClient(run["tracking_uri"])
    score = client.get_run(report["mlflow_run_id"]).data.metrics["lm_eval/adding/acc"]
    assert score == report["scorecard"]["lm_eval/adding/acc"]
    assert "lm_eval_samples.jsonl" in {file.path for file in client.list_artifacts(report["mlflow_run_id"])}


@pytest.mark.parametrize(
    ("model", "data", "says"),
    [
        ("models:/sums@nobody", "sums.jsonl", "not found in MLflow"),
        ("models:/sums@champion", "none.jsonl", "none.jsonl"),
    ],
)
def test_what_does_not_exist_is_a_mistake_told_in_a_line(
    shared: tuple[Workspace, dict[str, Any]], model: str, data: str, says: str
) -> None:
    outcome = shared[0].sft("evaluate", model, "--data", data)
    assert outcome.code == 2
    assert says in outcome.stderr
