"""Room on the disk: estimated before training starts, and looked at before each checkpoint."""

import shutil
from pathlib import Path
from typing import Any

import torch

from sft_core.errors import RecipeError

SLACK = 1.02
"""Configuration, tokenizer, random states, and what a file system needs beside the content of files."""


def require_room(folder: Path, num_bytes: float, what: str) -> None:
    """Make sure that something fits on the disk of a folder.

    Raises:
        RecipeError: if not, with both numbers.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise RecipeError(
            f"the disk of {folder} has {_gigabytes(free)} left, {what} needs {_gigabytes(num_bytes)}; free some space, "
            "lower training.save_total_limit, or set runtime.home to a larger disk"
        )


def training_bytes(model: torch.nn.Module, save_total_limit: int | None, is_saving: bool, has_bytes: int) -> float:
    """Estimate what a training writes: its model, and at its peak one checkpoint more than it keeps.

    Args:
        model: With all its weights.
        save_total_limit: Checkpoints that are kept; if all are, there are two at the least.
        is_saving: Whether there are checkpoints.
        has_bytes: Of checkpoints that lie there already.
    """
    checkpoints = ((save_total_limit or 1) + 1) * checkpoint_bytes(model) if is_saving else 0.0
    return weight_bytes(model) * SLACK + max(checkpoints - has_bytes, 0.0)


def checkpoint_bytes(model: torch.nn.Module, optimizer: Any = None) -> float:
    """Estimate a checkpoint: the weights, and of those that are trained what the optimizer keeps.

    Args:
        model: The model.
        optimizer: Once it has done a step, its states are measured; until then two numbers a weight are assumed, as
            AdamW has them.
    """
    states = [value for state in getattr(optimizer, "state", {}).values() for value in state.values()]
    kept = sum(value.numel() * value.element_size() for value in states if isinstance(value, torch.Tensor))
    trained = sum(_bytes(weight) for weight in model.parameters() if weight.requires_grad)
    return (weight_bytes(model) + (kept or 2 * trained)) * SLACK


def weight_bytes(model: torch.nn.Module) -> int:
    """Bytes of the weights that are saved: all, or an adapter's alone."""
    is_adapter = hasattr(model, "peft_config")
    return sum(_bytes(weight) for weight in model.parameters() if weight.requires_grad or not is_adapter)


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _bytes(weight: torch.Tensor) -> int:
    return weight.numel() * weight.element_size()


def _gigabytes(num_bytes: float) -> str:
    return f"{num_bytes / 1e9:,.2f} GB"
