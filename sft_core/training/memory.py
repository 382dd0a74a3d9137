"""Memory that did not suffice: what to change, with the numbers of the run at hand."""

from collections.abc import Sequence

import torch

from sft_core.errors import RecipeError
from sft_core.training.config import TrainingConfig

CPU_ALLOCATOR = "DefaultCPUAllocator"
"""PyTorch raises a plain `RuntimeError` that names it; on GPUs there is a class for it."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, on a GPU or for the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error)
    )


def memory_advice(config: TrainingConfig, lengths: Sequence[int], error: BaseException) -> RecipeError:
    """Say what to change so that a training fits into memory.

    Args:
        config: Of the training.
        lengths: Tokens of every train block.
        error: What was raised.
    """
    batch = min(config.per_device_train_batch_size, len(lengths))
    return RecipeError(
        f"training ran out of memory on a batch of {batch} blocks of up to {max(lengths):,} tokens{_peak()}: "
        f"{str(error).splitlines()[0] if str(error) else type(error).__name__}\n"
        f"{'; '.join(_remedies(config, batch))}"
    )


def _remedies(config: TrainingConfig, batch: int) -> list[str]:
    remedies = []
    if batch > 1:
        half = -(-batch // 2)
        times = -(-batch // half) * config.gradient_accumulation_steps
        remedies.append(
            f"set training.per_device_train_batch_size to {half} and gradient_accumulation_steps to {times}: the steps "
            "stay the same"
        )
    if not config.gradient_checkpointing:
        remedies.append("set training.gradient_checkpointing to true")
    remedies.append("lower tokens.max_length")
    return remedies


def _peak() -> str:
    """What this process had of the GPU's memory at its peak."""
    if not torch.cuda.is_available():
        return ""
    peak, total = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    return f" (at its peak {peak / 1e9:.2f} GB of the device's {total / 1e9:.2f} GB were in use)"
