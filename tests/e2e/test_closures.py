"""Whatever function of the project a stage of a whole run executes, its key covers it.

Two recipes are run with every call traced, in all processes: an adapter on texts, scored by a task of lm-eval, and a
vision-language model on photographs.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT, RECIPE, Workspace, write_rows

from tests.e2e.fake_hub import serve_hub
from tests.traced.coverage import TRACER, escaped, executed
from tests.vision_families import FAMILIES

pytestmark = pytest.mark.e2e
PHOTOGRAPHS = PROJECT.parent / "shared" / "data"
ADAPTER = {
    "training": {**RECIPE["training"], "peft": {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"}},
    "model": {**RECIPE["model"], "additional_special_tokens": ["<think>"]},
    "evaluation": {**RECIPE["evaluation"], "lm_eval": {"tasks": ["adding"], "include_path": "tasks"}},
}
TASK = {
    "task": "adding",
    "dataset_path": "org/adding",
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{prompt}}",
    "doc_to_choice": ["{{completion}}", "-1"],
    "doc_to_target": 0,
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
DATA_STAGES = {"ingest_sources", "detect_formats", "render_chats", "tokenize_chats", "pack_shards", "report_data"}
STAGES = DATA_STAGES | {"train_model", "evaluate_model", "register_model"}


def traced_run(workspace: Workspace, **variables: str) -> tuple[dict[str, Any], Path]:
    """Run the recipe in fresh processes that note what they execute; return the result, and the folder of the notes."""
    notes = workspace.folder / "notes"
    notes.mkdir()
    traced = {"SFT_TRACE_FOLDER": str(notes), "PYTHONPATH": f"{TRACER}:{PROJECT}"}
    command = [sys.executable, "-m", "sft_cli.main", "run", "recipe.yaml", "--json"]
    environment = replace(workspace, variables=tuple({**traced, **variables}.items())).environment()
    done = subprocess.run(
        command, cwd=workspace.folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), notes


def write_recipe(workspace: Workspace, **sections: Any) -> None:
    (workspace.folder / "recipe.yaml").write_text(yaml.safe_dump({**RECIPE, **sections}), encoding="utf-8")


def test_keys_cover_what_a_run_of_an_adapter_executes(
    new_workspace: Callable[..., Workspace], prefect_url: str
) -> None:
    workspace = new_workspace("traced", prefect_url=prefect_url, num_rows=120)
    hub, tasks = workspace.folder / "hub", workspace.folder / "tasks"
    for folder in (hub / "datasets" / "org" / "adding", tasks):
        folder.mkdir(parents=True)
    rows = [{"prompt": f"{i} plus {i} is", "completion": f" {2 * i}"} for i in range(5)]
    write_rows(hub / "datasets" / "org" / "adding" / "test.jsonl", rows)
    (tasks / "adding.yaml").write_text(yaml.safe_dump(TASK))
    write_recipe(workspace, **ADAPTER)
    with serve_hub(hub) as address:
        online = {"HF_ENDPOINT": address, "HF_HOME": str(workspace.folder / "hf"), "HF_HUB_OFFLINE": "0"}
        result, notes = traced_run(workspace, **online)
    assert "lm_eval/adding/acc" in result["scorecard"]
    assert {stage for stage, _, _ in executed(notes)} == STAGES
    assert escaped(notes) == []


def test_keys_cover_what_a_run_of_a_vision_model_executes(
    new_workspace: Callable[..., Workspace], prefect_url: str
) -> None:
    if not PHOTOGRAPHS.is_dir():
        pytest.skip(f"needs the photographs in {PHOTOGRAPHS}")
    workspace = new_workspace("traced-photographs", prefect_url=prefect_url)
    family = FAMILIES["qwen2_5_vl"]
    family.save_processor(workspace.folder / "tokenizer")
    (workspace.folder / "mllm_demo_data").mkdir()
    for file in ["mllm_demo.json", *(f"mllm_demo_data/{name}.jpg" for name in (1, 2, 3))]:
        (workspace.folder / file).write_bytes((PHOTOGRAPHS / file).read_bytes())
    write_recipe(
        workspace,
        model={"init": "config", "tokenizer": "tokenizer", "config": family.model_config()},
        sources=[{"path": "mllm_demo.json", "shard_rows": 2}],
        formats={"eval_fraction": 0.5},
        chat={"assistant_only_loss": True},
        tokens={},
        packing={},
        training={**RECIPE["training"], "max_steps": 2, "per_device_train_batch_size": 2},
    )
    _, notes = traced_run(workspace)
    assert {stage for stage, _, _ in executed(notes)} == STAGES | {"gather_images"}
    assert escaped(notes) == []
