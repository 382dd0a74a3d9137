"""From the recipe's section to transformers' `TrainingArguments`."""

from pathlib import Path

import torch
from transformers import TrainingArguments

from sft_core.training.config import TrainingConfig


def training_arguments(config: TrainingConfig, work_folder: Path, has_eval: bool) -> TrainingArguments:
    """Translate the recipe's section; what the pipeline owns (reporting, saving, devices) is set here."""
    has_cuda = torch.cuda.is_available()
    fields = config.model_dump(
        exclude={"loss_type", "padding_free", "gradient_checkpointing", "bf16", "eval_strategy", "eval_on_start"}
    )
    return TrainingArguments(
        output_dir=str(work_folder),
        bf16=wants_bf16(config),
        activation_checkpointing=config.gradient_checkpointing,
        eval_strategy=config.eval_strategy if has_eval else "no",
        eval_on_start=config.eval_on_start and has_eval,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        use_cpu=not has_cuda,
        dataloader_pin_memory=has_cuda,
        label_names=["labels"],
        logging_nan_inf_filter=False,  # looking at every loss makes the device wait; see `finite`
        accelerator_config={"non_blocking": has_cuda},
        **fields,
    )


def wants_bf16(config: TrainingConfig) -> bool:
    """Whether to compute in bfloat16: as asked, else where the GPU has it."""
    if config.bf16 is None:
        return not config.fp16 and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return config.bf16
