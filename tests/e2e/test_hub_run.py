"""Data, tokenizer and model from a Hub: the real code against a stand-in on the loopback."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Workspace
from fake_hub import COMMIT, serve_hub

pytestmark = pytest.mark.e2e
DATA = "sources.0.path=hf://datasets/org/sums/main/train-*.jsonl"
MODEL = "model={path: org/tiny}"


def save_model(folder: Path, tokenizer_folder: Path) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def test_a_run_on_hub_data_and_a_hub_model_is_pinned_to_their_commit(workspace: Workspace) -> None:
    hub = workspace.folder / "hub"
    (hub / "datasets/org/sums/main").mkdir(parents=True)
    shutil.copy(workspace.data, hub / "datasets/org/sums/main/train-0.jsonl")
    save_model(hub / "models/org/tiny", workspace.folder / "tokenizer")
    (hub / "models/org/tiny/model.onnx").write_bytes(b"not wanted")
    with serve_hub(hub) as address:
        extra = {"HF_ENDPOINT": address, "HF_HOME": str(workspace.folder / "hf"), "HF_HUB_OFFLINE": "0"}
        online = replace(workspace, variables=tuple(extra.items()))
        result = online.ok("run", DATA, MODEL, "training.max_steps=2")
        assert result["ledger"]["rows_in"] == 300
        again = online.ok("prepare", DATA, MODEL)
        assert set(again["stages"].values()) == {"cached"}
    manifest = json.loads((Path(result["artifacts"]["train_model"]) / "manifest.json").read_text())
    assert manifest["payload"]["inputs"]["training"]["model"]["content_digest"] == COMMIT
    assert not list((workspace.folder / "hf").rglob("*.onnx")), "only what the model is loaded from is downloaded"

    offline = replace(workspace, variables=tuple({**extra, "HF_HUB_OFFLINE": "1"}.items()))
    cached = offline.ok("prepare", DATA, MODEL)
    assert set(cached["stages"].values()) == {"cached"}, "the Hub's local cache is enough"
