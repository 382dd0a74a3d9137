"""Chats about photographs, from their files to a registered model that answers a request with an image; again, and with
another byte in one photograph."""

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT, RECIPE, Workspace

from tests.vision_families import FAMILIES

pytestmark = pytest.mark.e2e
DATA = PROJECT.parent / "shared" / "data"
PHOTOGRAPHS = "mllm_demo_data"


@pytest.fixture(scope="module")
def photographs(new_workspace: Callable[..., Workspace], prefect_url: str) -> Workspace:
    workspace = new_workspace("photographs", prefect_url=prefect_url)
    family = FAMILIES["qwen2_5_vl"]
    family.save_processor(workspace.folder / "tokenizer")
    shutil.copy(DATA / "mllm_demo.json", workspace.folder)
    (workspace.folder / PHOTOGRAPHS).mkdir()
    for file in (DATA / PHOTOGRAPHS).iterdir():
        (workspace.folder / PHOTOGRAPHS / file.name).write_bytes(file.read_bytes())
    sections = {
        **RECIPE,
        "name": "photographs",
        "model": {"init": "config", "tokenizer": "tokenizer", "config": family.model_config()},
        "sources": [{"path": "mllm_demo.json", "shard_rows": 2}],
        "formats": {"eval_fraction": 0.5},
        "chat": {"assistant_only_loss": True},
        "tokens": {},
        "packing": {},
        "training": {
            **RECIPE["training"],
            "per_device_train_batch_size": 2,
            "dataloader_num_workers": 1,
            "num_eval_prompts": 2,
        },
        "evaluation": {**RECIPE["evaluation"], "baseline": True},
    }
    (workspace.folder / "recipe.yaml").write_text(yaml.safe_dump(sections), encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def first(photographs: Workspace) -> dict[str, Any]:
    return photographs.ok("run")


def gathered(workspace: Workspace) -> set[str]:
    return {folder.name for folder in workspace.home.glob("artifacts/gather_images/*/*")}


def test_a_model_is_registered_that_has_seen_every_row(photographs: Workspace, first: dict[str, Any]) -> None:
    assert set(first["stages"].values()) == {"executed"}
    assert (first["ledger"]["rows_in"], first["ledger"]["rows_rejected"]) == (6, 0)
    assert first["model_uri"] == "models:/photographs/1"
    assert {"eval_loss", "baseline_eval_loss", "exact_match"} <= set(first["scorecard"])
    assert len(gathered(photographs)) == 3
    samples = Path(first["artifacts"]["evaluate_model"]) / "samples.jsonl"
    assert all(json.loads(line)["images"] for line in samples.read_text().splitlines())
    assert (Path(first["model_dir"]) / "processor_config.json").is_file()


def test_the_registered_model_answers_a_request_with_an_image(photographs: Workspace, first: dict[str, Any]) -> None:
    import mlflow

    mlflow.set_tracking_uri(first["tracking_uri"])
    model = mlflow.pyfunc.load_model(first["model_uri"])
    photograph = base64.b64encode((photographs.folder / PHOTOGRAPHS / "1.jpg").read_bytes()).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{photograph}"}},
        {"type": "text", "text": "Who are they?"},
    ]
    (answer,) = model.predict({"messages": [{"role": "user", "content": parts}]}, params={"max_tokens": 4})
    assert isinstance(answer, str)


def test_again_all_is_cached(photographs: Workspace, first: dict[str, Any]) -> None:
    again = photographs.ok("run")
    assert set(again["stages"].values()) == {"cached"}
    assert again["mlflow_run_id"] == first["mlflow_run_id"]
    assert looked_at(photographs) == []


def looked_at(workspace: Workspace) -> list[str]:
    """What a look for changes finds."""
    found: list[str] = workspace.ok("retrain", flags=("--dry-run",))["changes"]
    return found


def test_another_byte_in_a_photograph_is_another_run_and_does_only_its_shards_again(
    photographs: Workspace, first: dict[str, Any]
) -> None:
    before = gathered(photographs)
    file = photographs.folder / PHOTOGRAPHS / "2.jpg"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1  # in the last row of blocks: the picture stays whole
    file.write_bytes(content)
    assert looked_at(photographs) == ["data: images that rows name"]
    changed = photographs.ok("run")
    assert len(gathered(photographs) - before) == 2, "two of the three shards show it"
    executed = [stage for stage, how in changed["stages"].items() if how == "executed"]
    assert executed == ["train_model", "evaluate_model", "register_model"], "the look has prepared the data"
    assert changed["mlflow_run_id"] != first["mlflow_run_id"]
    assert changed["model_uri"] == "models:/photographs/2"
