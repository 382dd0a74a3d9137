"""Out-of-memory errors: which settings to change, with the numbers of the current run."""

from collections.abc import Sequence

import torch

from sft_core.errors import RecipeError
from sft_core.training.config import TrainingConfig

CPU_ALLOCATOR = "DefaultCPUAllocator"
"""Name in the plain `RuntimeError` that PyTorch raises on CPUs; on GPUs it raises `OutOfMemoryError`."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error is an out-of-memory error, on a GPU or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and CPU_ALLOCATOR in str(error)
    )


def memory_advice(config: TrainingConfig, lengths: Sequence[int], error: BaseException) -> RecipeError:
    """Return an error whose message lists the settings to change so that a training fits into memory.

    Args:
        config: The `training` section.
        lengths: Number of tokens of every train block.
        error: The out-of-memory error that was raised.
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
    """Describe this process's peak use of GPU memory; empty without a GPU."""
    if not torch.cuda.is_available():
        return ""
    peak, total = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    return f" (at its peak {peak / 1e9:.2f} GB of the device's {total / 1e9:.2f} GB were in use)"
