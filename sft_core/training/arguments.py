"""Conversion of the recipe's `training` section to transformers' `TrainingArguments`."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from sft_core.errors import RecipeError
from sft_core.training.config import TrainingConfig

LIGER_LOSSES = {"cross_entropy": False, "fused_linear_cross_entropy": False}
"""Liger's losses, which are always off: the trainer computes the loss itself."""


def training_arguments(config: TrainingConfig, work_folder: Path, has_eval: bool) -> TrainingArguments:
    """Return transformers' arguments for a `training` section. Fields that the pipeline owns (reporting, resuming,
    folders, devices) are set here.

    Args:
        config: The `training` section.
        work_folder: Folder for checkpoints.
        has_eval: Whether there are held-out blocks; without them nothing is evaluated.

    Raises:
        RecipeError: if the section depends on evaluations and there are no held-out blocks.
    """
    has_cuda = torch.cuda.is_available()
    known = {field.name for field in dataclasses.fields(TrainingArguments)}
    fields = {name: value for name, value in config.model_dump().items() if name in known}
    arguments = TrainingArguments(
        **{
            **fields,
            **_checkpointing(config),
            **_evaluation(config, has_eval),
            "bf16": wants_bf16(config),
            "optim_target_modules": _as_list(config.optim_target_modules),
            "liger_kernel_config": {**(config.liger_kernel_config or {}), **LIGER_LOSSES},
            "parallelism_config": _parallelism(config),
            # a single process does not communicate, and accelerate fails if it gets a backend
            "ddp_backend": config.ddp_backend if torch.distributed.is_torchelastic_launched() else None,
            "dataloader_pin_memory": config.dataloader_pin_memory and has_cuda,
            "output_dir": str(work_folder),
            "restore_callback_states_from_checkpoint": True,
            "logging_nan_inf_filter": False,  # checking every loss makes the device wait; see `finite`
            "accelerator_config": {"non_blocking": has_cuda},
            "report_to": "none",
            "disable_tqdm": True,
            "remove_unused_columns": False,
            "use_cpu": not has_cuda,
            "label_names": ["labels"],
        }
    )
    # One process has one GPU: with several, transformers would multiply the batch and split it with `DataParallel`.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def wants_bf16(config: TrainingConfig) -> bool:
    """Return whether to compute in bfloat16: as the section says, or by default if the GPU supports it."""
    if config.bf16 is None:
        return not config.fp16 and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return config.bf16


def _checkpointing(config: TrainingConfig) -> dict[str, Any]:
    """Return gradient checkpointing under the new names of transformers, which warns about the old ones."""
    return {
        "gradient_checkpointing": None,
        "gradient_checkpointing_kwargs": None,
        "activation_checkpointing": config.gradient_checkpointing,
        "activation_checkpointing_kwargs": config.gradient_checkpointing_kwargs,
    }


def _evaluation(config: TrainingConfig, has_eval: bool) -> dict[str, Any]:
    """Return the fields of evaluation. Without held-out blocks, evaluation is off and nothing may depend on it."""
    if has_eval:
        best = config.metric_for_best_model or ("loss" if config.looks_for_best else None)
        return {"metric_for_best_model": best}
    if config.looks_for_best or config.follows_evaluation:
        raise RecipeError(
            "training: the best checkpoint, early stopping and this learning rate depend on evaluations, but no row is "
            "held out: set `formats.eval_fraction`, or give a source `split: eval`"
        )
    return {"eval_strategy": "no", "eval_on_start": False}


def _as_list(modules: str | tuple[str, ...] | None) -> str | list[str] | None:
    """Convert a tuple to a list: transformers takes a list or a string, and no other sequence."""
    return list(modules) if isinstance(modules, tuple) else modules


def _parallelism(config: TrainingConfig) -> Any:
    if config.parallelism_config is None:
        return None
    from accelerate.parallelism_config import ParallelismConfig

    return ParallelismConfig(**config.parallelism_config)
