"""Training that is to end with its best weights does, wherever they were found and whatever came between."""

from pathlib import Path
from typing import Any

import pytest
import torch

from sft_core.errors import StageInterruptedError
from sft_core.modeling import Blocks, Collator, as_token_sums, evaluate_batches, load_trained
from sft_core.processes.subprocesses import EndRequest
from sft_core.training.run import train
from tests.sft_core.training.tiny_training import TinyTraining, tiny_training

OPTIONS: dict[str, Any] = {
    "max_steps": 16,
    "num_train_epochs": 1,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "eval_on_start": False,
    "load_best_model_at_end": True,
    "save_total_limit": 1,
    "learning_rate": 3e-2,
}


LORA = {"peft_type": "LORA", "target_modules": "all-linear", "r": 4}


class EndAfter(EndRequest):
    """Is made after so many steps."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def listen(self, folder: Path) -> None:
        """Hear of nothing else."""

    @property
    def is_made(self) -> bool:  # type: ignore[override]
        self._steps -= 1
        return self._steps < 0


def best_eval_loss(training: TinyTraining) -> float:
    losses = {line["step"]: line["eval_loss"] for line in training.lines() if "eval_loss" in line}
    best = min(losses, key=lambda step: losses[step])
    assert best < 8 < max(losses), "the best lies before the first checkpoint by steps, and long before the end"
    return float(losses[best])


def loss_of_the_model(training: TinyTraining) -> float:
    assert training.plan.eval_folder is not None
    blocks = Blocks(training.plan.eval_folder)
    batch = Collator(0)([blocks[index] for index in range(len(blocks))])
    sums = evaluate_batches(load_trained(training.folder / "model"), [batch], torch.device("cpu"))
    return float(as_token_sums(sums).means()["loss"])


@pytest.mark.parametrize(
    "options",
    [
        {"save_strategy": "best"},
        {"save_strategy": "steps", "save_steps": 8},
        {
            "save_strategy": "best",
            "peft": {"peft_type": "LORA", "target_modules": "all-linear", "r": 4},
            "learning_rate": 0.3,
        },
    ],
    ids=["best", "steps", "lora"],
)
def test_the_model_is_the_best_that_was_evaluated(tmp_path: Path, options: dict[str, Any]) -> None:
    straight = tiny_training(tmp_path, "straight", **{**OPTIONS, **options})
    train(straight.plan)
    assert loss_of_the_model(straight) == pytest.approx(best_eval_loss(straight), rel=1e-6)
    broken = tiny_training(tmp_path, "broken", **{**OPTIONS, **options})
    with pytest.raises(StageInterruptedError):
        train(broken.plan, EndAfter(9))
    train(broken.plan)
    assert broken.result()["resumed_from"] >= 9
    assert broken.outcome() == straight.outcome()
