"""Train one model from one plan. Runs inside `accelerate launch -m sft_core.training plan.json`."""

import inspect
import time
from pathlib import Path

import torch
from transformers import AutoTokenizer, PreTrainedModel

from sft_core.errors import RecipeError, StageFailedError
from sft_core.modeling import Blocks, Collator, load_model
from sft_core.training.arguments import training_arguments, wants_bf16
from sft_core.training.plan import METRICS_FILE, MODEL_FOLDER, TrainPlan, TrainResult
from sft_core.training.trainer import SupervisedTrainer


def train(plan: TrainPlan) -> None:
    """Train, and write `model/`, `metrics.jsonl` and `result.json` into the plan's output folder.

    Raises:
        RecipeError: if model, tokenizer and data do not fit together.
    """
    started = time.time()
    tokenizer = AutoTokenizer.from_pretrained(plan.tokenizer_folder, trust_remote_code=plan.trust_remote_code)
    if plan.eos_token is not None:
        tokenizer.eos_token = plan.eos_token
    model = load_model(plan.model, tokenizer, plan.training.seed)
    _check_positions(model)
    eval_blocks = Blocks(plan.eval_folder) if plan.eval_folder else None
    trainer = SupervisedTrainer(
        model=model,
        args=training_arguments(plan.training, plan.output_folder / "work", has_eval=eval_blocks is not None),
        train_dataset=Blocks(plan.train_folder),
        eval_dataset=eval_blocks,
        data_collator=Collator(model.config.pad_token_id),
        metrics_path=plan.output_folder / METRICS_FILE,
        loss_type=plan.training.loss_type,
        router_coef=plan.training.router_aux_loss_coef,
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
        )
        (plan.output_folder / "result.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    _part(trainer)


def _part(trainer: SupervisedTrainer) -> None:
    """Processes end together: one that exits while another still talks to it was seen to abort, after all the work."""
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


def _check_positions(model: PreTrainedModel) -> None:
    """Documents in a block are told apart by their positions, so the model has to take them."""
    if "position_ids" not in inspect.signature(model.forward).parameters:
        raise RecipeError(
            f"model: {type(model).__name__} takes no position_ids, so rows of one block would attend to each other"
        )


def _check_world_size(trainer: SupervisedTrainer, plan: TrainPlan) -> None:
    found = trainer.accelerator.num_processes
    if found != plan.num_processes:
        raise StageFailedError(f"expected {plan.num_processes} training processes, found {found}")


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def main(plan_path: Path) -> None:
    """Read the plan and train."""
    train(TrainPlan.model_validate_json(plan_path.read_bytes()))
