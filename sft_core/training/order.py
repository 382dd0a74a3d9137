"""Which blocks each optimizer step sees.

The order is a pure function of the seed and the number of blocks, because the Trainer draws it from a generator that
is seeded anew with `seed + epoch` at the start of each epoch. Nothing is imitated here: the samplers are those that
the Trainer itself is given by accelerate, over block numbers instead of blocks.

    5 blocks, batches of 2, one process, two epochs  →  step 1: [3, 0]  step 2: [4, 1]  step 3: [2]  step 4: …
"""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from sft_core.training.config import TrainingConfig

if TYPE_CHECKING:
    from accelerate.data_loader import SeedableRandomSampler

Batches = list[list[int]]
"""Of one step: the blocks of each micro-batch, process after process."""


def batches_of_step(config: TrainingConfig, num_blocks: int, num_processes: int, step: int) -> Batches:
    """Return the blocks of one optimizer step.

    Where the last batches of an epoch do not come out even among processes, accelerate fills up with blocks from the
    epoch's start: those are listed as well, because the step sees them.

    Args:
        config: How the model is trained.
        num_blocks: Of the train split.
        num_processes: That train it, one device each.
        step: From 1, as in `metrics.jsonl`.

    Raises:
        ValueError: if training does not get that far.
    """
    steps = num_steps(config, num_blocks, num_processes)
    if not 1 <= step <= steps:
        raise ValueError(f"training has steps 1 to {steps}, found {step}")
    epoch, within = divmod(step - 1, steps_per_epoch(config, num_blocks, num_processes))
    taken = config.gradient_accumulation_steps
    return [
        batch
        for process in range(num_processes)
        for batch in itertools.islice(
            _batches(config, num_blocks, num_processes, process, epoch), within * taken, (within + 1) * taken
        )
    ]


def steps_per_epoch(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Optimizer steps in one pass over the blocks."""
    batches = -(-num_blocks // config.per_device_train_batch_size)
    per_process = -(-batches // num_processes)
    return max(-(-per_process // config.gradient_accumulation_steps), 1)


def num_steps(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Optimizer steps of the whole training, counted as the Trainer counts them."""
    if config.max_steps > 0:
        return config.max_steps
    exact = config.num_train_epochs * steps_per_epoch(config, num_blocks, num_processes)
    return int(exact) + int(exact > int(exact))


def _batches(
    config: TrainingConfig, num_blocks: int, num_processes: int, process: int, epoch: int
) -> Iterator[list[int]]:
    """The batches that one process gets in one epoch."""
    from accelerate.data_loader import BatchSamplerShard
    from torch.utils.data import BatchSampler

    batches = BatchSampler(_sampler(config, num_blocks, epoch), config.per_device_train_batch_size, drop_last=False)
    yield from BatchSamplerShard(batches, num_processes, process) if num_processes > 1 else batches


def _sampler(config: TrainingConfig, num_blocks: int, epoch: int) -> "SeedableRandomSampler":
    from accelerate.data_loader import SeedableRandomSampler

    seed = config.seed if config.data_seed is None else config.data_seed
    sampler = SeedableRandomSampler(range(num_blocks), data_seed=seed)
    sampler.set_epoch(epoch)
    return sampler
