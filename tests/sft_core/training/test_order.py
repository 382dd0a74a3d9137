"""The order of blocks that we name is the order that the trainer takes, and it does not hang on how a step is shared
out."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedConfig

from sft_core.errors import RecipeError
from sft_core.modeling import NO_BLOCK
from sft_core.training import TrainingConfig, batches_of_step, num_steps, steps_of_block, steps_per_epoch
from sft_core.training.arguments import training_arguments
from sft_core.training.loaders import eval_loader, train_loader
from sft_core.training.order import blocks_of_epoch
from sft_core.training.trainer import SupervisedTrainer

BLOCKS = 13


class _Blocks(torch.utils.data.Dataset[dict[str, Any]]):
    """Blocks that are nothing but their number; the longest is number 5."""

    def __init__(self, num_blocks: int = BLOCKS) -> None:
        self._num_blocks = num_blocks

    def __len__(self) -> int:
        return self._num_blocks

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"block": int(index)}

    @property
    def sources(self) -> tuple[str, ...]:
        return ()

    def lengths(self) -> list[int]:
        return [(7 * block + 4) % 13 + 30 * (block == 5) for block in range(self._num_blocks)]


class _Weight(torch.nn.Linear):
    """A model of one number."""

    config = PreTrainedConfig()


class _Listening(SupervisedTrainer):
    """Trains on nothing, and notes which blocks each step was given."""

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        self.seen.setdefault(self.state.global_step + 1, []).append(inputs["block"].tolist())
        return super().training_step(model, inputs, num_items_in_batch)

    def compute_loss(self, model: torch.nn.Module, inputs: Any, *_: Any, **__: Any) -> torch.Tensor:
        return model.weight.sum()

    def _get_num_items_in_batch(self, *_: Any) -> None:
        return None


def collate(rows: list[dict[str, int]]) -> dict[str, torch.Tensor]:
    return {"block": torch.tensor([row["block"] for row in rows])}


def listening(config: TrainingConfig, folder: Path) -> _Listening:
    trainer = _Listening(
        model=_Weight(1, 1),
        args=training_arguments(config, folder / "checkpoints", has_eval=False),
        train_dataset=_Blocks(),
        data_collator=collate,
        metrics_path=folder / "metrics.jsonl",
    )
    trainer.seen = {}
    return trainer


def settings_of(**options: Any) -> TrainingConfig:
    return TrainingConfig(gradient_checkpointing=False, optim="sgd", **options)


def named(config: TrainingConfig, steps: Any, num_processes: int = 1) -> dict[int, list[list[int]]]:
    return {step: batches_of_step(config, BLOCKS, num_processes, step, _Blocks().lengths) for step in steps}


@pytest.mark.parametrize(
    "options",
    [
        {"num_train_epochs": 3, "per_device_train_batch_size": 4},
        {"num_train_epochs": 1.5, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 3},
        {"max_steps": 9, "per_device_train_batch_size": 5, "data_seed": 7},
        {"max_steps": 2, "per_device_train_batch_size": 64, "seed": 3},
        {"max_steps": 5, "per_device_train_batch_size": 5, "train_sampling_strategy": "sequential"},
        {"max_steps": 9, "per_device_train_batch_size": 2, "train_sampling_strategy": "group_by_length"},
        {"num_train_epochs": 2, "per_device_train_batch_size": 2, "dataloader_drop_last": True},
    ],
)
def test_every_step_of_a_real_training_sees_the_blocks_that_we_name(tmp_path: Path, options: dict[str, Any]) -> None:
    config = settings_of(**options)
    trainer = listening(config, tmp_path)
    assert trainer.train_to_end() is None
    assert len(trainer.seen) == num_steps(config, BLOCKS, 1)
    assert named(config, trainer.seen) == trainer.seen


@pytest.mark.parametrize("last", [3, 4, 5, 8])
def test_a_training_that_goes_on_sees_the_blocks_that_we_name(tmp_path: Path, last: int) -> None:
    """Interrupted in the middle of an epoch, at its end (4, 8), and after it; an epoch has four steps."""
    batch = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    config = settings_of(max_steps=10, **batch, save_steps=last, save_total_limit=None)
    first = listening(config, tmp_path)
    first.train_to_end()
    for checkpoint in (tmp_path / "checkpoints").glob("checkpoint-*"):
        if int(checkpoint.name.split("-")[1]) > last:
            (checkpoint / "checkpoint.json").unlink()
    second = listening(config, tmp_path)
    assert second.train_to_end() == last
    assert list(second.seen) == list(range(last + 1, 11))
    assert named(config, second.seen) == second.seen


def test_a_training_that_was_over_does_no_further_step(tmp_path: Path) -> None:
    config = settings_of(max_steps=6, per_device_train_batch_size=4)
    listening(config, tmp_path).train_to_end()
    again = listening(config, tmp_path)
    assert again.train_to_end() == 6
    assert (again.seen, again.state.global_step) == ({}, 6)


def test_an_epoch_gives_each_process_its_own_blocks_and_no_block_twice() -> None:
    config = TrainingConfig(num_train_epochs=1, per_device_train_batch_size=4)
    alone = [batch for step in range(1, 5) for batch in batches_of_step(config, BLOCKS, 1, step)]
    together = [batches_of_step(config, BLOCKS, 3, step) for step in (1, 2)]
    assert together == [[alone[0], alone[1], alone[2]], [alone[3], [], []]]


@given(
    num_blocks=st.integers(1, 70),
    num_processes=st.integers(1, 4),
    batch_size=st.integers(1, 5),
    accumulation=st.integers(1, 3),
    strategy=st.sampled_from(["random", "sequential", "group_by_length"]),
    epoch=st.integers(0, 2),
)
def test_processes_share_every_epoch_exactly_and_evenly(
    num_blocks: int, num_processes: int, batch_size: int, accumulation: int, strategy: Any, epoch: int
) -> None:
    config = TrainingConfig(
        num_train_epochs=3,
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=accumulation,
        train_sampling_strategy=strategy,
    )
    data = _Blocks(num_blocks)
    loaded = []
    for process in range(num_processes):
        args = arguments_of(config, num_processes, process)
        loader = train_loader(args, data, collate)
        loader.set_epoch(epoch)
        batches = [batch["block"].tolist() for batch in loader]
        assert len(batches) == len(loader)
        loaded.append([[block for block in batch if block != NO_BLOCK] for batch in batches])
    assert len({len(batches) for batches in loaded}) == 1, "a process would wait for ever"
    assert sorted(block for batches in loaded for batch in batches for block in batch) == list(range(num_blocks))
    per_epoch = steps_per_epoch(config, num_blocks, num_processes)
    for step in range(per_epoch):
        taken = slice(step * accumulation, (step + 1) * accumulation)
        told = batches_of_step(config, num_blocks, num_processes, epoch * per_epoch + step + 1, data.lengths)
        assert told == [batch for batches in loaded for batch in batches[taken]]


class arguments_of:  # noqa: N801
    """The fields of `TrainingArguments` that loaders read, for a process of several."""

    dataloader_num_workers = 0
    dataloader_pin_memory = dataloader_persistent_workers = False
    dataloader_prefetch_factor = dataloader_multiprocessing_context = None

    def __init__(self, config: TrainingConfig, world_size: int, process_index: int) -> None:
        self._config, self.world_size, self.process_index = config, world_size, process_index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._config, name)


@given(num_blocks=st.integers(1, 60), strategy=st.sampled_from(["random", "sequential", "group_by_length"]))
def test_a_step_sees_the_same_blocks_however_it_is_shared_out(num_blocks: int, strategy: Any) -> None:
    def steps(batch_size: int, accumulation: int, num_processes: int) -> list[set[int]]:
        config = TrainingConfig(
            num_train_epochs=2,
            per_device_train_batch_size=batch_size,
            gradient_accumulation_steps=accumulation,
            train_sampling_strategy=strategy,
        )
        lengths = _Blocks(num_blocks).lengths
        return [
            {block for batch in batches_of_step(config, num_blocks, num_processes, step, lengths) for block in batch}
            for step in range(1, num_steps(config, num_blocks, num_processes) + 1)
        ]

    shares = [(8, 1, 1), (4, 2, 1), (1, 8, 1), (4, 1, 2), (1, 4, 2), (2, 1, 4)]
    first, *others = [steps(*share) for share in shares]
    assert others == [first] * len(others)


@given(num_blocks=st.integers(0, 40), num_processes=st.integers(1, 4), batch_size=st.integers(1, 5))
def test_every_held_out_block_is_measured_once_and_processes_wait_for_nobody(
    num_blocks: int, num_processes: int, batch_size: int
) -> None:
    config = TrainingConfig(per_device_eval_batch_size=batch_size)
    shares = [
        [
            batch["block"].tolist()
            for batch in eval_loader(arguments_of(config, num_processes, process), _Blocks(num_blocks), collate)
        ]
        for process in range(num_processes)
    ]
    assert len({len(batches) for batches in shares}) == 1
    seen = [block for batches in shares for batch in batches for block in batch if block != NO_BLOCK]
    assert sorted(seen) == list(range(num_blocks))


def test_blocks_of_one_length_come_together_and_the_longest_first() -> None:
    config = TrainingConfig(per_device_train_batch_size=2, train_sampling_strategy="group_by_length")
    lengths = [5, 1, 9, 5, 1, 9, 5, 1, 9, 5, 1, 50, 9, 5, 1, 9] * 2
    line = blocks_of_epoch(config, len(lengths), 1, 0, lambda: lengths)
    found = [lengths[block] for block in line]
    assert found[0] == 50
    runs = [found[start : start + 8] for start in range(0, 32, 8)]  # 32 blocks: four runs of four steps of two blocks
    assert runs == [sorted(run, reverse=True) for run in runs]
    assert found != sorted(found, reverse=True), "chance decides what is sorted together"
    assert line != blocks_of_epoch(config, len(lengths), 1, 1, lambda: lengths)


def test_dropping_the_last_blocks_leaves_full_steps_alone() -> None:
    config = TrainingConfig(num_train_epochs=1, per_device_train_batch_size=2, dataloader_drop_last=True)
    assert steps_per_epoch(config, BLOCKS, 3) == 2
    assert all(len(batch) == 2 for step in (1, 2) for batch in batches_of_step(config, BLOCKS, 3, step))
    with pytest.raises(RecipeError, match=r"a step takes 14 blocks .* found 13"):
        num_steps(TrainingConfig(per_device_train_batch_size=7, dataloader_drop_last=True), BLOCKS, 2)


def test_a_step_that_training_never_reaches_is_refused() -> None:
    with pytest.raises(ValueError, match="training has steps 1 to 2, found 3"):
        batches_of_step(TrainingConfig(num_train_epochs=1), BLOCKS, 1, 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_steps": 11},
        {"num_train_epochs": 2.5, "per_device_train_batch_size": 2},
        {"num_train_epochs": 3, "gradient_accumulation_steps": 4},
        {
            "max_steps": 9,
            "gradient_accumulation_steps": 3,
            "per_device_train_batch_size": 2,
            "dataloader_drop_last": True,
        },
        {"num_train_epochs": 2, "train_sampling_strategy": "group_by_length", "per_device_train_batch_size": 3},
    ],
)
@pytest.mark.parametrize("processes", [1, 2])
def test_the_steps_of_a_block_are_those_whose_batches_have_it(fields: dict[str, Any], processes: int) -> None:
    config, lengths = TrainingConfig(**fields), _Blocks().lengths
    blocks_of: dict[int, set[int]] = {
        step: {block for batch in batches_of_step(config, BLOCKS, processes, step, lengths) for block in batch}
        for step in range(1, num_steps(config, BLOCKS, processes) + 1)
    }
    for block in range(BLOCKS):
        expected = [step for step, blocks in blocks_of.items() if block in blocks]
        assert steps_of_block(config, BLOCKS, processes, block, lengths) == expected
