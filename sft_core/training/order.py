"""Which blocks each optimizer step sees: a pure function of the seed, the epoch and the number of blocks.

The blocks of an epoch stand in one line. A step takes the next `batch size × accumulation × processes` of them,
however these three share them out: batch k of an epoch goes to process k mod processes. At the end of an epoch, where
blocks run out, some processes get a batch without blocks, so that all do the same number of batches (and wait for each
other as often) and no block is seen twice.

    5 blocks, batches of 2, one process     →  step 1: [3, 0]        step 2: [4, 1]    step 3: [2]
    5 blocks, batches of 1, two processes   →  step 1: [3] and [0]   …                 step 3: [2] and []
"""

from collections.abc import Callable, Sequence

from sft_core.errors import RecipeError
from sft_core.training.config import TrainingConfig

Batches = list[list[int]]
"""The blocks of each batch."""
Lengths = Callable[[], Sequence[int]]
"""Gives the tokens of every block; called only where the order hangs on them."""

STEPS_SORTED_TOGETHER = 50
RUNS_AN_EPOCH = 4
"""With `group_by_length`, as in transformers: so many steps at most are sorted together, and a quarter of an epoch at
most. More would leave less chance in the order, fewer more padding."""


def batches_of_step(
    config: TrainingConfig, num_blocks: int, num_processes: int, step: int, lengths: Lengths | None = None
) -> Batches:
    """Return the blocks of one optimizer step: of each micro-batch, process after process.

    Args:
        config: How the model is trained.
        num_blocks: Of the train split.
        num_processes: That train it, one device each.
        step: From 1, as in `metrics.jsonl`.
        lengths: Needed with `train_sampling_strategy: group_by_length`.

    Raises:
        ValueError: if training does not get that far.
    """
    steps = num_steps(config, num_blocks, num_processes)
    if not 1 <= step <= steps:
        raise ValueError(f"training has steps 1 to {steps}, found {step}")
    epoch, within = divmod(step - 1, steps_per_epoch(config, num_blocks, num_processes))
    line = blocks_of_epoch(config, num_blocks, num_processes, epoch, lengths)
    taken = slice(within * config.gradient_accumulation_steps, (within + 1) * config.gradient_accumulation_steps)
    size = config.per_device_train_batch_size
    return [batch for process in range(num_processes) for batch in deal(line, size, num_processes, process)[taken]]


def steps_of_block(
    config: TrainingConfig, num_blocks: int, num_processes: int, block: int, lengths: Lengths | None = None
) -> list[int]:
    """Return the optimizer steps (from 1) that train on a block: one in each epoch that gets to it.

    Args: as of `batches_of_step`.
    """
    steps, an_epoch = (count(config, num_blocks, num_processes) for count in (num_steps, steps_per_epoch))
    size = blocks_per_step(config, num_processes)
    lines = (
        (epoch * an_epoch, blocks_of_epoch(config, num_blocks, num_processes, epoch, lengths))
        for epoch in range(-(-steps // an_epoch))
    )
    found = [before + line.index(block) // size + 1 for before, line in lines if block in line]
    return [step for step in found if step <= steps]


def blocks_of_epoch(
    config: TrainingConfig, num_blocks: int, num_processes: int, epoch: int, lengths: Lengths | None = None
) -> list[int]:
    """Return the numbers of an epoch's blocks, in order.

    Args:
        config: Seed, strategy, and what makes a step.
        num_blocks: Of the train split.
        num_processes: That train it.
        epoch: From 0.
        lengths: Needed with `train_sampling_strategy: group_by_length`.
    """
    strategy = config.train_sampling_strategy
    if strategy == "sequential":
        line = list(range(num_blocks))
    elif strategy == "random":
        line = _shuffled(config, num_blocks, epoch)
    elif strategy == "group_by_length" and lengths is not None:
        step = blocks_per_step(config, num_processes)
        together = step * max(min(num_blocks // (step * RUNS_AN_EPOCH), STEPS_SORTED_TOGETHER), 1)
        line = _grouped_by_length(_shuffled(config, num_blocks, epoch), lengths(), together)
    else:
        raise RecipeError(f"training.train_sampling_strategy: the order of `{strategy}` is not known here")
    return line[: _blocks_taken(config, num_blocks, num_processes)]


def deal(line: Sequence[int], batch_size: int, num_processes: int, process: int) -> Batches:
    """Cut a line of blocks into batches, and return those of one process.

    Args:
        line: Block numbers.
        batch_size: Blocks a batch.
        num_processes: That share the batches.
        process: Which of them, from 0.

    Returns:
        As many batches as every other process gets; the last one may be without blocks.
    """
    batches = [list(line[start : start + batch_size]) for start in range(0, len(line), batch_size)]
    missing = -len(batches) % num_processes
    return [*batches, *([] for _ in range(missing))][process::num_processes]


def blocks_per_step(config: TrainingConfig, num_processes: int) -> int:
    """Blocks that a full step takes."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * num_processes


def batches_per_epoch(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Batches that each process gets in one pass over the blocks."""
    taken = _blocks_taken(config, num_blocks, num_processes)
    return -(-taken // (config.per_device_train_batch_size * num_processes))


def steps_per_epoch(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Optimizer steps in one pass over the blocks."""
    return max(-(-batches_per_epoch(config, num_blocks, num_processes) // config.gradient_accumulation_steps), 1)


def num_steps(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Optimizer steps of the whole training, counted as the Trainer counts them."""
    if config.max_steps > 0:
        return config.max_steps
    exact = config.num_train_epochs * steps_per_epoch(config, num_blocks, num_processes)
    return int(exact) + int(exact > int(exact))


def _blocks_taken(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Blocks of an epoch: all, or as many as fill its steps."""
    if not config.dataloader_drop_last:
        return num_blocks
    full = blocks_per_step(config, num_processes)
    if num_blocks < full:
        raise RecipeError(
            f"training.dataloader_drop_last leaves nothing to train on: a step takes {full} blocks "
            f"({config.per_device_train_batch_size} a batch × {config.gradient_accumulation_steps} accumulated × "
            f"{num_processes} processes), found {num_blocks} in all; lower the batch size, or leave it off"
        )
    return num_blocks // full * full


def _shuffled(config: TrainingConfig, num_blocks: int, epoch: int) -> list[int]:
    """Drawn anew in each epoch, as the Trainer's own sampler draws it."""
    import torch

    seed = config.seed if config.data_seed is None else config.data_seed
    numbers: list[int] = torch.randperm(num_blocks, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return numbers


def _grouped_by_length(line: list[int], lengths: Sequence[int], together: int) -> list[int]:
    """Sort each run of blocks from long to short; the longest block of all comes first, so that memory which does not
    suffice is known at the first step."""
    longest = max(line, key=lambda block: lengths[block])
    line = [longest, *(block for block in line if block != longest)]
    runs = (line[start : start + together] for start in range(0, len(line), together))
    return [block for run in runs for block in sorted(run, key=lambda block: -lengths[block])]
