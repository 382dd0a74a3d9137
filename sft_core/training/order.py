"""Order of the blocks, and so which blocks each optimizer step sees: a pure function of the training's settings, the
epoch and the number of blocks.

The blocks of an epoch form one sequence. A step takes the next `batch size × accumulation × processes` of them; only
the product matters. Batch k of an epoch goes to process k mod processes. When blocks run out at the end of an epoch,
some processes get a batch without blocks. So all processes run the same number of batches (and synchronize equally
often), and no block is seen twice.

    5 blocks, batches of 2, one process     →  step 1: [3, 0]        step 2: [4, 1]    step 3: [2]
    5 blocks, batches of 1, two processes   →  step 1: [3] and [0]   …                 step 3: [2] and []
"""

from collections.abc import Callable, Sequence

from sft_core.errors import RecipeError
from sft_core.training.config import TrainingConfig

Batches = list[list[int]]
"""Block numbers of each batch."""
Lengths = Callable[[], Sequence[int]]
"""Function that returns the number of tokens of every block; called only if the order depends on them."""

STEPS_SORTED_TOGETHER = 50
RUNS_AN_EPOCH = 4
"""With `group_by_length`, the blocks of up to `STEPS_SORTED_TOGETHER` steps are sorted together, but at most
1 / `RUNS_AN_EPOCH` of an epoch, as in transformers. Longer runs would make the order less random; shorter ones would
leave more padding."""


def batches_of_step(
    config: TrainingConfig, num_blocks: int, num_processes: int, step: int, lengths: Lengths | None = None
) -> Batches:
    """Return the blocks of one optimizer step, as one list per micro-batch, process by process.

    Args:
        config: The `training` section.
        num_blocks: Number of blocks in the train split.
        num_processes: Number of training processes, with one device each.
        step: The step, from 1, as in `metrics.jsonl`.
        lengths: Needed with `train_sampling_strategy: group_by_length`.

    Raises:
        ValueError: if training does not have that step.
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
    """Return the optimizer steps (from 1) that train on a block: one in each epoch that reaches it.

    Args: as for `batches_of_step`.
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
    """Return the block numbers of an epoch, in order.

    Args:
        config: The `training` section, with the seed, the sampling strategy and the size of a step.
        num_blocks: Number of blocks in the train split.
        num_processes: Number of training processes.
        epoch: The epoch, from 0.
        lengths: Needed with `train_sampling_strategy: group_by_length`.

    Raises:
        RecipeError: if the strategy is unknown, or `dataloader_drop_last` leaves no block.
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
        raise RecipeError(f"training.train_sampling_strategy: the strategy `{strategy}` is unknown")
    return line[: _blocks_taken(config, num_blocks, num_processes)]


def deal(line: Sequence[int], batch_size: int, num_processes: int, process: int) -> Batches:
    """Cut a sequence of blocks into batches, and return those of one process.

    Args:
        line: Block numbers, in order.
        batch_size: Number of blocks per batch.
        num_processes: Number of processes that share the batches.
        process: Rank of the process, from 0.

    Returns:
        The same number of batches for every process; the last one may be empty.
    """
    batches = [list(line[start : start + batch_size]) for start in range(0, len(line), batch_size)]
    missing = -len(batches) % num_processes
    return [*batches, *([] for _ in range(missing))][process::num_processes]


def blocks_per_step(config: TrainingConfig, num_processes: int) -> int:
    """Return the number of blocks in a full optimizer step."""
    return config.per_device_train_batch_size * config.gradient_accumulation_steps * num_processes


def batches_per_epoch(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Return the number of batches that each process gets in one epoch."""
    taken = _blocks_taken(config, num_blocks, num_processes)
    return -(-taken // (config.per_device_train_batch_size * num_processes))


def steps_per_epoch(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Return the number of optimizer steps in one epoch."""
    return max(-(-batches_per_epoch(config, num_blocks, num_processes) // config.gradient_accumulation_steps), 1)


def num_steps(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Return the number of optimizer steps of the whole training, counted as the Trainer counts them."""
    if config.max_steps > 0:
        return config.max_steps
    exact = config.num_train_epochs * steps_per_epoch(config, num_blocks, num_processes)
    return int(exact) + int(exact > int(exact))


def _blocks_taken(config: TrainingConfig, num_blocks: int, num_processes: int) -> int:
    """Return the number of blocks of an epoch: all, or with `dataloader_drop_last` those that fill whole steps."""
    if not config.dataloader_drop_last:
        return num_blocks
    full = blocks_per_step(config, num_processes)
    if num_blocks < full:
        raise RecipeError(
            f"training.dataloader_drop_last leaves nothing to train on: a step takes {full} blocks "
            f"({config.per_device_train_batch_size} a batch × {config.gradient_accumulation_steps} accumulated × "
            f"{num_processes} processes), found {num_blocks} in all; lower the batch size, or set it to false"
        )
    return num_blocks // full * full


def _shuffled(config: TrainingConfig, num_blocks: int, epoch: int) -> list[int]:
    """Shuffle the blocks anew in each epoch, as the Trainer's own sampler does."""
    import torch

    seed = config.seed if config.data_seed is None else config.data_seed
    numbers: list[int] = torch.randperm(num_blocks, generator=torch.Generator().manual_seed(seed + epoch)).tolist()
    return numbers


def _grouped_by_length(line: list[int], lengths: Sequence[int], together: int) -> list[int]:
    """Sort each run of blocks from long to short. The longest block of all comes first, so that a lack of memory shows
    at the first step."""
    longest = max(line, key=lambda block: lengths[block])
    line = [longest, *(block for block in line if block != longest)]
    runs = (line[start : start + together] for start in range(0, len(line), together))
    return [block for run in runs for block in sorted(run, key=lambda block: -lengths[block])]
