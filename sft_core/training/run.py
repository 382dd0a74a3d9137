"""Training of one model as a plan describes; `python -m sft_core.training plan.json` runs it in each process."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer, EarlyStoppingCallback

from sft_core.errors import StageFailedError, StageInterruptedError
from sft_core.modeling import (
    Blocks,
    Objective,
    base_of,
    check_positions,
    choose_trained,
    count_trained,
    has_virtual_tokens,
    has_vision,
    is_quantized,
    isolated_attention,
    let_gradients_in,
    load_model,
    longest_text,
    max_positions,
    new_ids,
)
from sft_core.pretrained.tokenizer import add_special_tokens
from sft_core.processes.subprocesses import EndRequest
from sft_core.training.answers import Answerer
from sft_core.training.arguments import training_arguments, wants_bf16
from sft_core.training.best import settle_best_metric
from sft_core.training.checkpoints import CHECKPOINTS_FOLDER
from sft_core.training.companions import Companions
from sft_core.training.disk import folder_bytes, require_room, training_bytes
from sft_core.training.memory import is_out_of_memory, memory_advice
from sft_core.training.plan import METRICS_FILE, START_FILE, TrainPlan, TrainResult, TrainStart
from sft_core.training.save import save_model, save_probe
from sft_core.training.showing import allow_batches_without_images, pixels_for
from sft_core.training.trainer import SupervisedTrainer, arithmetic_dtype

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def train(plan: TrainPlan, end_request: EndRequest | None = None) -> None:
    """Train, and write `model/`, `metrics.jsonl`, `result.json` and the probe of the model into the plan's output
    folder.

    If the output folder has a checkpoint, training resumes from the newest one.

    Args:
        plan: The model, the data and all settings.
        end_request: Receives requests to end early, from before the first step on; None: no such requests.

    Raises:
        RecipeError: if model, tokenizer and data do not fit together, if disk space or memory run out, or if the loss
            is no longer a finite number.
        StageInterruptedError: if training was asked to end; a checkpoint has been saved.
    """
    tokenizer = AutoTokenizer.from_pretrained(plan.tokenizer_folder, trust_remote_code=plan.trust_remote_code)
    add_special_tokens(tokenizer, plan.model.additional_special_tokens)
    if plan.eos_token is not None:
        tokenizer.eos_token = plan.eos_token
    if plan.chat_template is not None:
        tokenizer.chat_template = plan.chat_template
    model = _model_to_train(plan, tokenizer)
    splits = {
        split: Blocks(folder, plan.source_of_shard)
        for split, folder in (("train", plan.train_folder), ("eval", plan.eval_folder))
        if folder is not None
    }
    answerer = Answerer.of(plan, tokenizer) if "eval" in splits else None
    args = training_arguments(plan.training, plan.output_folder / CHECKPOINTS_FOLDER, has_eval="eval" in splits)
    pixels = pixels_for(plan, base_of(model), splits.values())
    if has_vision(base_of(model).config):
        allow_batches_without_images(args, splits.values())
    trainer = SupervisedTrainer(
        model=model,
        args=args,
        train_dataset=splits["train"],
        eval_dataset=splits.get("eval"),
        metrics_path=plan.output_folder / METRICS_FILE,
        objective=Objective(plan.training.loss_type, plan.training.label_smoothing_factor),
        router_coef=plan.training.router_aux_loss_coef,
        offloads_activations=plan.training.activation_offloading,
        answerer=answerer,
    )
    _check_world_size(trainer, plan)
    attention, trainer.data_collator = isolated_attention(
        base_of(model),
        plan.model.attn_implementation,
        False if has_virtual_tokens(model) else plan.training.padding_free,
        arithmetic_dtype(args),
        list(splits.values()),
        pixels,
    )
    _check_disk(trainer, plan)
    _go_by_evaluations(trainer, plan, answerer)
    if end_request is not None:
        end_request.listen(plan.output_folder)
        trainer.is_end_requested = lambda: end_request.is_made
    trainer.kept_with_weights = companions = Companions(tokenizer, plan.processor)
    _write_start(trainer, plan, attention.implementation)
    resumed_from = _train(trainer, plan)
    save_probe(trainer, plan)
    is_merged = save_model(trainer, plan, companions)
    if trainer.is_world_process_zero():
        result = TrainResult(
            global_step=trainer.state.global_step,
            num_tokens=trainer.window.num_tokens,
            resumed_from=resumed_from,
            seconds=trainer.seconds,
            num_parameters=sum(parameter.numel() for parameter in model.parameters()),
            num_trained_parameters=count_trained(model),
            is_merged=is_merged,
            device=_device_name(),
            bf16=wants_bf16(plan.training),
            attn_implementation=attention.implementation,
            padding_free=attention.padding_free,
        )
        (plan.output_folder / "result.json").write_text(result.model_dump_json(indent=1), encoding="utf-8")
    _part(trainer)


def _go_by_evaluations(trainer: SupervisedTrainer, plan: TrainPlan, answerer: Answerer | None) -> None:
    """Check the metrics that decide the best checkpoint, and set up early stopping if requested."""
    training = plan.training
    if plan.eval_folder is None:
        return
    answers = answerer.score_names() if answerer else []
    settle_best_metric(trainer.args, training.greater_is_better, answers)
    if training.early_stopping_patience is not None:
        patience, threshold = training.early_stopping_patience, training.early_stopping_threshold
        trainer.add_callback(EarlyStoppingCallback(patience, threshold))


def _train(trainer: SupervisedTrainer, plan: TrainPlan) -> int | None:
    """Train, and return the step that training resumed from, if any."""
    try:
        return trainer.train_to_end()
    except StageInterruptedError:
        _part(trainer)
        raise
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise memory_advice(plan.training, Blocks(plan.train_folder).lengths(), error) from error
        raise


def _part(trainer: SupervisedTrainer) -> None:
    """Wait for all processes before ending: one that exited while another was still communicating with it was seen to
    abort, after all the work."""
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


def _model_to_train(plan: TrainPlan, tokenizer: "PreTrainedTokenizerBase") -> Any:
    """Load the model, check that it takes texts as long as the data has, and freeze what the recipe does not train."""
    training = plan.training
    model = load_model(plan.model, tokenizer, training.seed)
    folders = [folder for folder in (plan.train_folder, plan.eval_folder) if folder is not None]
    num_virtual = training.peft.get("num_virtual_tokens", 0)
    check_positions(max_positions(model.config), max(map(longest_text, folders)) + num_virtual)
    tokens = new_ids(tokenizer, plan.model.additional_special_tokens)
    trained = choose_trained(
        model,
        training.peft,
        training.num_layers_unfrozen,
        training.seed,
        tokens,
        is_quantized=is_quantized(model),
        freeze=training.freeze,
    )
    if training.gradient_checkpointing:
        let_gradients_in(trained, training.gradient_checkpointing_kwargs)
    return trained


def _check_world_size(trainer: SupervisedTrainer, plan: TrainPlan) -> None:
    found = trainer.accelerator.num_processes
    if found != plan.num_processes:
        raise StageFailedError(f"expected {plan.num_processes} training processes, found {found}")


def _check_disk(trainer: SupervisedTrainer, plan: TrainPlan) -> None:
    if trainer.is_world_process_zero():
        is_saving = plan.training.save_strategy != "no"
        has_bytes = folder_bytes(plan.output_folder / CHECKPOINTS_FOLDER)
        needed = training_bytes(trainer.model, plan.training.save_total_limit, is_saving, has_bytes)
        require_room(plan.output_folder, needed, "the model with its checkpoints")


def _write_start(trainer: SupervisedTrainer, plan: TrainPlan, attn_implementation: str) -> None:
    if not trainer.is_world_process_zero():
        return
    start = TrainStart(
        device=_device_name(),
        dtype=str(arithmetic_dtype(trainer.args)).removeprefix("torch."),
        attn_implementation=attn_implementation,
        num_processes=plan.num_processes,
        num_parameters=sum(parameter.numel() for parameter in trainer.model.parameters()),
        num_trained_parameters=count_trained(trainer.model),
        num_blocks=len(trainer.train_dataset),
        num_idle_gpus=max(0, torch.cuda.device_count() - 1) if plan.num_processes == 1 else 0,
    )
    (plan.output_folder / START_FILE).write_text(start.model_dump_json(indent=1), encoding="utf-8")


def _device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def main(plan_path: Path) -> None:
    """Read the plan and train until done or asked to end."""
    train(TrainPlan.model_validate_json(plan_path.read_bytes()), EndRequest())
