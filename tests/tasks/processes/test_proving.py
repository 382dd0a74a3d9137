"""Only the model that was trained becomes a logged model, and only such a one is registered."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sft_core.errors import StageFailedError
from sft_core.modeling import Probe, probe_logits
from sft_core.processes.launch import Launch
from sft_core.recipe import Recipe
from tasks.processes import launching, proving
from tasks.processes.launching import run_stored
from tasks.processes.proving import prove
from tasks.stages.codebase import PROJECT
from tasks.tracking import log_model
from tests.fresh_mlflow import open_sqlite
from tests.sft_core.modeling.tiny_models import tiny_model, tiny_tokenizer

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_processes")]

RECIPE = Recipe(name="r", model={"path": "m"}, sources=[{"path": "x.jsonl"}])


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A training's folder: a model, and what it gave in memory."""
    model, text = tiny_model().eval(), torch.arange(2, 20)
    model.save_pretrained(tmp_path / "trained" / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "trained" / "model")
    probe = Probe([text], probe_logits(model, [text], torch.device("cpu")), "float32")
    probe.write(tmp_path / "trained" / "probe.safetensors")
    return tmp_path / "trained"


def test_a_model_that_was_stored_whole_is_proven(trained: Path, tmp_path: Path) -> None:
    found = prove(trained / "model", PROJECT, trained / "probe.safetensors", tmp_path / "log", Launch())
    assert found.difference < 1e-6
    assert (found.tolerance, found.precision, found.num_texts) == (1e-3, "float32", 1)


def test_the_proof_holds_a_slot_of_the_gpus_and_keeps_off_them_where_training_did(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[tuple[str, int]] = []
    visible: list[str | None] = []

    @contextmanager
    def slots(stage: str, num_gpus: int) -> Iterator[None]:
        held.append((stage, num_gpus))
        yield
        held.clear()

    def run(*arguments: Any) -> None:
        processes = arguments[-1]
        assert held == [("register_model", processes.gpus_here)]
        visible.append(launching._environment(processes).get("CUDA_VISIBLE_DEVICES"))
        run_stored(*arguments)

    monkeypatch.setattr(proving, "gpu_slots", slots)
    monkeypatch.setattr(proving, "run_stored", run)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    on_the_cpu = Launch(num_processes=4, strategy="cpu", options={"cpu": True}).alone()
    assert (on_the_cpu.gpus_here, Launch(num_processes=4).alone().gpus_here) == (0, 1)
    prove(trained / "model", PROJECT, trained / "probe.safetensors", tmp_path / "log", on_the_cpu)
    prove(trained / "model", PROJECT, trained / "probe.safetensors", tmp_path / "log", Launch())
    assert visible == ["", "5"]
    assert not held
    assert Launch(num_processes=4, strategy="use_fsdp").alone() == Launch()


def test_another_model_is_failed_with_the_difference_and_stays_unknown(trained: Path, tmp_path: Path) -> None:
    weights = trained / "model" / "model.safetensors"
    tensors = load_file(weights)
    tensors["model.layers.0.self_attn.v_proj.weight"].normal_(std=0.02)
    save_file(tensors, weights, {"format": "pt"})
    tracker = open_sqlite(tmp_path)
    (tmp_path / "beside").mkdir()

    def proof(weights: Path, code: Path) -> dict[str, str]:
        return {"proven": str(prove(weights, PROJECT, trained / "probe.safetensors", tmp_path / "log", Launch()))}

    with (
        tracker.run(RECIPE, "one") as run,
        pytest.raises(StageFailedError, match=r"expected the model that was trained, found another: logits differ by"),
    ):
        log_model(run, "m", trained / "model", tmp_path / "beside", 1, {}, proof)
    (model,) = tracker.client.search_logged_models([tracker.experiment_id])
    assert str(model.status) == "FAILED"
    assert not tracker.client.get_run(run.run_id).outputs.model_outputs


def test_a_model_that_does_not_load_is_told_with_the_cause(trained: Path, tmp_path: Path) -> None:
    (trained / "model" / "model.safetensors").unlink()
    with pytest.raises(StageFailedError, match=r"(?s)verification ended .* model.safetensors"):
        prove(trained / "model", PROJECT, trained / "probe.safetensors", tmp_path / "log", Launch())
