"""Train one model from one plan. Runs inside `accelerate launch -m sft_core.training plan.json`."""

import time
from pathlib import Path

import torch
from transformers import AutoTokenizer

from sft_core.errors import StageFailedError
from sft_core.modeling import Blocks, isolated_attention, load_model
from sft_core.training.arguments import training_arguments, wants_bf16
from sft_core.training.plan import METRICS_FILE, MODEL_FOLDER, TrainPlan, TrainResult
from sft_core.training.trainer import SupervisedTrainer, arithmetic_dtype


def train(plan: TrainPlan) -> None:
    """Train, and write `model/`, `metrics.jsonl` and `result.json` into the plan's output folder.

    Raises:
        RecipeError: if model, tokenizer and data do not fit together, or the loss stops being a number.
    """
    started = time.time()
    tokenizer = AutoTokenizer.from_pretrained(plan.tokenizer_folder, trust_remote_code=plan.trust_remote_code)
    if plan.eos_token is not None:
        tokenizer.eos_token = plan.eos_token
    model = load_model(plan.model, tokenizer, plan.training.seed)
    splits = {
        split: Blocks(folder, plan.source_of_shard)
        for split, folder in (("train", plan.train_folder), ("eval", plan.eval_folder))
        if folder is not None
    }
    args = training_arguments(plan.training, plan.output_folder / "work", has_eval="eval" in splits)
    trainer = SupervisedTrainer(
        model=model,
        args=args,
        train_dataset=splits["train"],
        eval_dataset=splits.get("eval"),
        metrics_path=plan.output_folder / METRICS_FILE,
    )
    attention, trainer.data_collator = isolated_attention(
        model,
        plan.model.attn_implementation,
        plan.training.padding_free,
        arithmetic_dtype(args),
        list(splits.values()),
    )
    _check_world_size(trainer, plan)
    output = trainer.train()
    folder = plan.output_folder / MODEL_FOLDER
    trainer.save_model(str(folder))
    if trainer.is_world_process_zero():
        if plan.chat_template is not None:
            tokenizer.chat_template = plan.chat_template
        tokenizer.save_pretrained(folder)
        result = TrainResult(
            global_step=output.global_step,
            num_tokens=trainer.window.num_tokens,
            seconds=time.time() - started,
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            device=_device_name(),
            bf16=wants_bf16(plan.training),
            attn_implementation=attention.implementation,
            padding_free=attention.padding_free,
        )
        (plan.output_folder / "result.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    _part(trainer)


def _part(trainer: SupervisedTrainer) -> None:
    """Processes end together: one that exits while another still talks to it was seen to abort, after all the work."""
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


def _check_world_size(trainer: SupervisedTrainer, plan: TrainPlan) -> None:
    found = trainer.accelerator.num_processes
    if found != plan.num_processes:
        raise StageFailedError(f"expected {plan.num_processes} training processes, found {found}")


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def main(plan_path: Path) -> None:
    """Read the plan and train."""
    train(TrainPlan.model_validate_json(plan_path.read_bytes()))
