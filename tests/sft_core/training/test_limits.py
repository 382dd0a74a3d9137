"""Memory and disk that do not suffice are told with what to change, and the estimates are near the truth."""

import re
from pathlib import Path

import pytest
import torch

from sft_core.errors import RecipeError
from sft_core.training import TrainingConfig
from sft_core.training.disk import checkpoint_bytes, folder_bytes, training_bytes
from sft_core.training.memory import is_out_of_memory, memory_advice
from sft_core.training.run import train
from tests.sft_core.training.tiny_training import TinyTraining, tiny_training


def test_memory_errors_are_told_from_others() -> None:
    with pytest.raises(RuntimeError) as found:
        torch.empty(1 << 60)
    assert is_out_of_memory(found.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("expected scalar type Float"))


@pytest.mark.parametrize(
    ("options", "batch", "remedy"),
    [
        ({}, 8, "set training.per_device_train_batch_size to 4 and gradient_accumulation_steps to 2: the steps stay"),
        (
            {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 4},
            3,
            "set training.per_device_train_batch_size to 2 and gradient_accumulation_steps to 8",
        ),
        (
            {"per_device_train_batch_size": 1, "gradient_checkpointing": False},
            1,
            "set training.gradient_checkpointing to true",
        ),
        ({"per_device_train_batch_size": 1}, 1, "\nlower tokens.max_length"),
    ],
)
def test_the_advice_has_the_numbers_of_the_run(options: dict[str, object], batch: int, remedy: str) -> None:
    advice = str(memory_advice(TrainingConfig(**options), [100] * 7 + [4096] * 5, MemoryError("no room\nat line 3")))
    assert advice.startswith(f"training ran out of memory on a batch of {batch} blocks of up to 4,096 tokens")
    assert "no room" in advice
    assert "at line 3" not in advice
    assert remedy in advice


def test_a_training_that_runs_out_of_memory_is_a_mistake_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer asks for more than there is, as it would at its first step."""
    training = tiny_training(tmp_path, "large")
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda *_, **__: torch.empty(1 << 60))
    with pytest.raises(RecipeError, match="batch_size to 2 and gradient_accumulation_steps to 2"):
        train(training.plan)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TinyTraining:
    model = {"n_embd": 128, "n_layer": 4}
    training = tiny_training(tmp_path_factory.mktemp("disk"), "disk", max_steps=6, eval_strategy="no", model=model)
    train(training.plan)
    return training


def test_a_checkpoint_takes_what_is_estimated_and_so_many_are_kept(trained: TinyTraining) -> None:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(trained.folder / "model")
    found = {path.name: folder_bytes(path) for path in (trained.folder / "checkpoints").iterdir()}
    assert sorted(found) == ["checkpoint-3", "checkpoint-6"]
    assert found["checkpoint-6"] == pytest.approx(checkpoint_bytes(model), rel=0.05)
    assert training_bytes(model, 2, is_saving=True, has_bytes=0) == pytest.approx(
        folder_bytes(trained.folder / "model") + 3 * found["checkpoint-6"], rel=0.05
    )
    assert training_bytes(model, 2, is_saving=False, has_bytes=0) < 0.2 * training_bytes(model, 2, True, 0)


def test_another_number_of_processes_cannot_go_on(trained: TinyTraining) -> None:
    listed = trained.folder / "checkpoints" / "checkpoint-6" / "checkpoint.json"
    listed.write_text(re.sub(r'"num_processes": 1', '"num_processes": 2', listed.read_text()))
    with pytest.raises(RecipeError, match="was written by 2 processes, found 1; train with as many"):
        train(trained.plan)
