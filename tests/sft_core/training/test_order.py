"""The order of blocks that we name is the order that the trainer takes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Trainer

from sft_core.training import TrainingConfig, batches_of_step, num_steps
from sft_core.training.arguments import training_arguments

BLOCKS = 13


class _Blocks(torch.utils.data.Dataset[dict[str, Any]]):
    """Blocks that are nothing but their number."""

    def __len__(self) -> int:
        return BLOCKS

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"block": int(index)}


class _Listening(Trainer):
    """Trains on nothing, and notes which blocks each step was given."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        self.seen.setdefault(self.state.global_step + 1, []).append(inputs["block"].tolist())
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(self, model: torch.nn.Module, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
        return model.weight.sum()


def order_of(config: TrainingConfig, folder: Path) -> dict[int, list[list[int]]]:
    trainer = _Listening(
        model=torch.nn.Linear(1, 1),
        args=training_arguments(config, folder, has_eval=False),
        train_dataset=_Blocks(),
        data_collator=lambda rows: {"block": torch.tensor([row["block"] for row in rows])},
    )
    trainer.seen = {}
    trainer.train()
    return trainer.seen


@pytest.mark.parametrize(
    "options",
    [
        {"num_train_epochs": 3, "per_device_train_batch_size": 4},
        {"num_train_epochs": 1.5, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3},
        {"max_steps": 9, "per_device_train_batch_size": 5, "data_seed": 7},
        {"max_steps": 2, "per_device_train_batch_size": 64, "seed": 3},
    ],
)
def test_every_step_of_a_real_training_sees_the_blocks_that_we_name(tmp_path: Path, options: dict[str, Any]) -> None:
    config = TrainingConfig(gradient_checkpointing=False, optim="sgd", **options)
    seen = order_of(config, tmp_path)
    assert len(seen) == num_steps(config, BLOCKS, 1)
    assert {step: batches_of_step(config, BLOCKS, 1, step) for step in seen} == seen


def test_an_epoch_gives_each_process_its_own_blocks_and_fills_up_from_the_start() -> None:
    config = TrainingConfig(num_train_epochs=1, per_device_train_batch_size=4)
    alone = [batch for step in range(1, 5) for batch in batches_of_step(config, BLOCKS, 1, step)]
    together = [batches_of_step(config, BLOCKS, 2, step) for step in (1, 2)]
    assert together == [[alone[0], alone[1]], [alone[2], [*alone[3], *alone[0][:3]]]]


def test_a_step_that_training_never_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="training has steps 1 to 2, found 3"):
        batches_of_step(TrainingConfig(num_train_epochs=1), BLOCKS, 1, 3)
