"""The whole flow on the embedded defaults: one recipe in, one registered model out; then the same again, reused."""

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Workspace
from datasets import load_from_disk

pytestmark = [pytest.mark.e2e, pytest.mark.sample]
STAGES = [
    "ingest_sources",
    "detect_formats",
    "render_chats",
    "tokenize_chats",
    "pack_shards",
    "report_data",
    "train_model",
    "evaluate_model",
    "register_model",
]


@pytest.fixture(scope="module")
def embedded(new_workspace: Callable[..., Workspace]) -> Workspace:
    return new_workspace("embedded", prefect_url=None, is_forked=False)


@pytest.fixture(scope="module")
def first(embedded: Workspace) -> dict[str, Any]:
    return embedded.ok("run")


@pytest.fixture(scope="module")
def prepared_again(embedded: Workspace, first: dict[str, Any]) -> dict[str, Any]:
    return embedded.ok("prepare")


@pytest.fixture(scope="module")
def client(embedded: Workspace, first: dict[str, Any]) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{embedded.home}/mlflow.db")


def test_every_stage_is_executed_and_the_report_is_complete(first: dict[str, Any]) -> None:
    assert first["status"] == "completed"
    assert first["stages"] == dict.fromkeys(STAGES, "executed")
    assert list(first["artifacts"]) == STAGES
    assert all(Path(folder).is_dir() for folder in first["artifacts"].values())
    assert first["model_uri"] == "models:/sums/1"
    assert all(isinstance(value, int | float) for value in first["scorecard"].values())


def test_the_ledger_sums(first: dict[str, Any]) -> None:
    ledger = first["ledger"]
    assert ledger["rows_in"] == 300 == ledger["rows_trained"] + ledger["rows_held_out"] + ledger["rows_rejected"]
    assert ledger["rows_held_out"] > 10
    assert (
        ledger["tokens_in"]
        == ledger["tokens_trained"] + ledger["tokens_held_out"] + ledger["tokens_truncated"] + ledger["tokens_rejected"]
    )


def test_the_eval_loss_falls(first: dict[str, Any]) -> None:
    assert first["scorecard"]["eval_loss"] < first["scorecard"]["baseline_eval_loss"] - 0.1


def test_the_model_folder_loads(first: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(first["model_dir"])
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(first["model_dir"]))


def test_the_mlflow_run_has_params_data_metrics_by_step_and_the_model(
    embedded: Workspace, first: dict[str, Any], client: Any
) -> None:
    run = client.get_run(first["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.params["training/learning_rate"] == "0.003"
    assert run.data.params["packing/packing_strategy"] == "bfd"
    contexts = {
        tag.value: item.dataset.digest
        for item in run.inputs.dataset_inputs
        for tag in item.tags
        if tag.key == "mlflow.data.context" and tag.value != "source"
    }
    manifest = json.loads((Path(first["artifacts"]["pack_shards"]) / "manifest.json").read_text())
    assert contexts == {
        "training": manifest["facts"]["splits"]["train"]["digest"],
        "eval": manifest["facts"]["splits"]["eval"]["digest"],
    }
    assert all(len(digest) == 32 for digest in contexts.values())
    steps = {
        name: [point.step for point in client.get_metric_history(run.info.run_id, name)]
        for name in ("loss", "eval_loss", "num_tokens")
    }
    assert steps == {"loss": [2, 4, 6], "eval_loss": [0, 3, 6], "num_tokens": [2, 4, 6]}
    for name in ("entropy", "mean_token_accuracy", "learning_rate", "grad_norm", "exact_match"):
        assert name in run.data.metrics
    assert {item.path for item in client.list_artifacts(run.info.run_id)} >= {
        "recipe.yaml",
        "ledger.json",
        "rejected.jsonl",
    }
    assert len(run.outputs.model_outputs) == 1


def test_the_registered_version_is_champion_and_leads_back_to_data_and_recipe(
    first: dict[str, Any], client: Any
) -> None:
    version = client.get_model_version_by_alias("sums", "champion")
    assert int(version.version) == 1
    assert version.run_id == first["mlflow_run_id"]
    assert json.loads(version.tags["sft.scorecard"]) == first["scorecard"]
    assert version.tags["sft.verdict"].startswith("promoted")
    model_id = version.source.removeprefix("models:/")
    files = {item.path for item in client.list_logged_model_artifacts(model_id)}
    assert files >= {
        "MLmodel",
        "model",
        "code",
        "recipe.yaml",
        "scorecard.json",
        "data_digests.json",
        "requirements.txt",
    }


def test_mlflow_loads_the_registered_model_and_it_answers(embedded: Workspace, first: dict[str, Any]) -> None:
    script = (
        "import mlflow, pandas as pd, sys;"
        f"mlflow.set_tracking_uri('sqlite:///{embedded.home}/mlflow.db');"
        "model = mlflow.pyfunc.load_model('models:/sums@champion');"
        "print(len(model.predict(pd.DataFrame({'prompt': ['1 plus 1 is', '2 plus']}), params={'max_tokens': 2})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=embedded.folder, env=embedded.environment()
    )
    assert done.stdout.strip().endswith("2"), done.stderr


def test_the_same_command_again_reuses_everything_and_never_imports_torch(
    embedded: Workspace, first: dict[str, Any], client: Any
) -> None:
    script = (
        "import sys\n"
        "from sft_cli.main import app\n"
        "try:\n    app(['run', 'recipe.yaml', '--json'])\n"
        "except SystemExit as done:\n    assert not done.code\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=embedded.folder, env=embedded.environment()
    )
    assert done.returncode == 0, done.stderr
    again = json.loads(done.stdout)
    assert again["stages"] == dict.fromkeys(STAGES, "cached")
    for name in ("mlflow_run_id", "model_uri", "model_dir", "scorecard", "ledger", "artifacts"):
        assert again[name] == first[name]
    assert [point.step for point in client.get_metric_history(first["mlflow_run_id"], "loss")] == [2, 4, 6]
    assert len(client.search_model_versions("name='sums'")) == 1


def test_prefect_recorded_the_reused_stages_as_cached(embedded: Workspace, prepared_again: dict[str, Any]) -> None:
    """Read from the embedded server's own database, which a Prefect server started on it shows."""
    assert set(prepared_again["stages"].values()) == {"cached"}
    with sqlite3.connect(embedded.home / "prefect" / "prefect.db") as database:
        newest = "SELECT id FROM flow_run ORDER BY created DESC LIMIT 1"
        states = database.execute(f"SELECT name, state_name FROM task_run WHERE flow_run_id = ({newest})").fetchall()
    assert sorted(name.split(" ")[0] for name, _ in states) == sorted(STAGES[:6]), "one task run a stage"
    assert "tokenize_chats (sums, 3 shards)" in dict(states)
    assert {state for _, state in states} == {"Cached"}


def test_prefect_has_the_pages_of_the_run(embedded: Workspace, first: dict[str, Any]) -> None:
    """Read as above: keys, and what the flow runs are called."""
    with sqlite3.connect(embedded.home / "prefect" / "prefect.db") as database:
        query = (
            "SELECT artifact.key, artifact.data, artifact.description FROM artifact JOIN flow_run ON flow_run.id = "
            "artifact.flow_run_id WHERE artifact.key IS NOT NULL AND flow_run.id IN (SELECT flow_run_id FROM artifact "
            "WHERE key = 'training-progress')"
        )
        found = list(database.execute(query))
        count = database.execute("SELECT count(*) FROM artifact WHERE key LIKE '%-progress'").fetchone()[0]
        names = {name for (name,) in database.execute("SELECT name FROM flow_run")}
        logged = [text for (text,) in database.execute("SELECT message FROM log")]
    # a plain number is one in SQLite as well
    pages = {key: (json.loads(data) if isinstance(data, str) else data, words) for key, data, words in found}
    assert set(pages) == {
        *("mlflow-run", "training-progress", "evaluation-progress"),
        *("loss-curve", "scorecard", "samples", "sft-run"),
    }
    assert count == 3, "preparation, training, evaluation: one each, and none for stages that were reused"
    assert pages["training-progress"][0] == pages["evaluation-progress"][0] == 100.0
    assert pages["training-progress"][1].startswith("step 6 of 6, epoch ")
    assert pages["loss-curve"][0].startswith("![loss and held-out loss over the steps](data:image/svg+xml;base64,")
    assert "| eval_loss | " in pages["scorecard"][0]
    assert {"prompt", "expected", "answer", "before training"} <= set(json.loads(pages["samples"][0])[0])
    assert any(name.startswith("sums - llama 1x32 - ") for name in names)
    assert any(text.startswith("training on ") for text in logged)
    assert len(logged) < 200


def test_the_dataset_opens_with_the_promised_columns(embedded: Workspace, prepared_again: dict[str, Any]) -> None:
    masked = prepared_again
    labelled = embedded.ok("prepare", flags=("--labels",))
    with_masks, with_labels = load_from_disk(masked["dataset"]), load_from_disk(labelled["dataset"])
    assert with_masks.column_names == ["input_ids", "seq_lengths", "loss_mask"]
    assert with_labels.column_names == ["input_ids", "seq_lengths", "labels"]
    for block, labels in zip(with_masks, with_labels["labels"], strict=True):
        assert labels == [
            token if kept else -100 for token, kept in zip(block["input_ids"], block["loss_mask"], strict=True)
        ]
    assert masked["dataset_digest"] == labelled["dataset_digest"]
    assert len(masked["dataset_digest"]) == 32


def test_another_learning_rate_trains_anew_on_the_same_data(embedded: Workspace, first: dict[str, Any]) -> None:
    second = embedded.ok("run", "training.learning_rate=0.001")
    executed = [stage for stage, state in second["stages"].items() if state == "executed"]
    assert executed == ["train_model", "evaluate_model", "register_model"]
    assert second["mlflow_run_id"] != first["mlflow_run_id"]
    assert second["model_uri"] == "models:/sums/2"
    assert not second["is_champion"], "slower learning is no reason for a promotion"
    assert "of the champion, version 1" in second["verdict"]
