"""Checks of free disk space, before training starts and before each checkpoint."""

import shutil
from pathlib import Path
from typing import Any

import torch

from sft_core.errors import RecipeError

SLACK = 1.02
"""Factor for configuration, tokenizer, random states, and the overhead of the file system."""


def require_room(folder: Path, num_bytes: float, what: str) -> None:
    """Check that the disk of a folder has room for so many bytes.

    Args:
        folder: Any folder on the disk.
        num_bytes: Number of bytes needed.
        what: Name of what is to be written, for the message.

    Raises:
        RecipeError: if not; the message has the free and the needed space.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise RecipeError(
            f"the disk of {folder} has {_gigabytes(free)} left, {what} needs {_gigabytes(num_bytes)}; free some space, "
            "lower training.save_total_limit, or set runtime.home to a larger disk"
        )


def training_bytes(model: torch.nn.Module, save_total_limit: int | None, is_saving: bool, has_bytes: int) -> float:
    """Estimate the bytes that a training writes at its peak: its model, and one checkpoint more than it keeps.

    Args:
        model: The model with all its weights.
        save_total_limit: Number of checkpoints to keep. If None (all are kept), two are counted, the least possible.
        is_saving: Whether checkpoints are saved.
        has_bytes: Bytes of checkpoints that exist already.
    """
    checkpoints = ((save_total_limit or 1) + 1) * checkpoint_bytes(model) if is_saving else 0.0
    return weight_bytes(model) * SLACK + max(checkpoints - has_bytes, 0.0)


def checkpoint_bytes(model: torch.nn.Module, optimizer: Any = None) -> float:
    """Estimate the bytes of a checkpoint: the weights, and the optimizer's states of the trained weights.

    Args:
        model: The model.
        optimizer: After its first step, its states are measured; until then two numbers per weight are assumed, as in
            AdamW.
    """
    states = [value for state in getattr(optimizer, "state", {}).values() for value in state.values()]
    kept = sum(value.numel() * value.element_size() for value in states if isinstance(value, torch.Tensor))
    trained = sum(_bytes(weight) for weight in model.parameters() if weight.requires_grad)
    return (weight_bytes(model) + (kept or 2 * trained)) * SLACK


def weight_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of the weights that are saved: all of them, or only those of an adapter."""
    is_adapter = hasattr(model, "peft_config")
    return sum(_bytes(weight) for weight in model.parameters() if weight.requires_grad or not is_adapter)


def folder_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _bytes(weight: torch.Tensor) -> int:
    return weight.numel() * weight.element_size()


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.2f} GB"
