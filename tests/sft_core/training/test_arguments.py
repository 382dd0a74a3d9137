"""transformers accepts what a recipe may say, and gets what it says."""

import importlib.util
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Trainer, TrainingArguments

from sft_core.errors import RecipeError
from sft_core.training import TrainingConfig
from sft_core.training.arguments import training_arguments
from sft_core.training.optimizers import BITSANDBYTES, TRAITS, Optimizer
from sft_core.training.schedulers import Scheduler

NEEDED = {
    "cosine_with_min_lr": {"min_lr_rate": 0.1},
    "cosine_warmup_with_min_lr": {"min_lr_rate": 0.1},
    "warmup_stable_decay": {"num_decay_steps": 2},
}


def arguments(folder: Path, has_eval: bool = True, **fields: Any) -> Any:
    return training_arguments(TrainingConfig(**fields), folder, has_eval)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {"learning_rate": 2e-5, "activation_checkpointing": True, "save_steps": 500, "use_cpu": True}),
        (
            {},
            {
                "remove_unused_columns": False,
                "disable_tqdm": True,
                "report_to": [],
                "average_tokens_across_devices": True,
            },
        ),
        ({"gradient_checkpointing": False}, {"activation_checkpointing": False}),
        (
            {"gradient_checkpointing_kwargs": {"every_n_layers": 2}},
            {"activation_checkpointing_kwargs": {"every_n_layers": 2}},
        ),
        ({"logging_steps": 0.1, "save_steps": 0.5}, {"logging_steps": 0.1, "save_steps": 0.5}),
        ({"eval_strategy": "steps"}, {"eval_steps": 10, "do_eval": True}),
        ({"eval_strategy": "epoch", "eval_delay": 1}, {"eval_strategy": "epoch", "eval_delay": 1}),
        (
            {"eval_strategy": "epoch", "save_strategy": "best"},
            {"metric_for_best_model": "loss", "greater_is_better": False},
        ),
        (
            {
                "load_best_model_at_end": True,
                "eval_strategy": "epoch",
                "save_strategy": "epoch",
                "metric_for_best_model": "mean_token_accuracy",
            },
            {"greater_is_better": True},
        ),
        ({"torch_compile_mode": "max-autotune"}, {"torch_compile": True, "torch_compile_backend": "inductor"}),
        ({"bf16": True}, {"bf16": True}),
        ({"tf32": False}, {"tf32": False}),
        ({"neftune_noise_alpha": 5, "warmup_steps": 0.05}, {"neftune_noise_alpha": 5.0, "warmup_steps": 0.05}),
        ({"dataloader_num_workers": 2, "dataloader_prefetch_factor": 4}, {"dataloader_prefetch_factor": 4}),
        ({"optim": "galore_adamw", "optim_target_modules": ["attn", "mlp"]}, {"optim_target_modules": ["attn", "mlp"]}),
        ({"ddp_timeout": 60, "ddp_bucket_cap_mb": 5}, {"ddp_timeout": 60, "ddp_bucket_cap_mb": 5}),
        ({"ddp_backend": "gloo"}, {"ddp_backend": None}),
        ({"fsdp": True, "fsdp_config": {"version": 2, "cpu_offload": True}}, {"fsdp": True}),
        ({"fsdp": "full_shard auto_wrap"}, {"fsdp": True}),
        ({"full_determinism": True, "seed": 1, "data_seed": 2}, {"full_determinism": True, "data_seed": 2}),
        ({"debug": "underflow_overflow"}, {"debug": ["underflow_overflow"]}),
    ],
    ids=str,
)
def test_transformers_gets_what_the_recipe_says(
    tmp_path: Path, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    made = arguments(tmp_path, **fields)
    assert {name: getattr(made, name) for name in expected} == expected


def test_the_shape_of_the_data_parallelism_reaches_accelerate(tmp_path: Path) -> None:
    made = arguments(tmp_path, parallelism_config={"dp_replicate_size": 2, "dp_shard_size": 4})
    assert (made.parallelism_config.dp_replicate_size, made.parallelism_config.dp_shard_size) == (2, 4)
    assert made.parallelism_config.non_data_parallel_size == 1


def test_one_process_has_one_gpu_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TrainingArguments, "_setup_devices", torch.device("cpu"))
    monkeypatch.setattr(TrainingArguments, "_n_gpu", 8, raising=False)  # as transformers counts them
    made = arguments(tmp_path, per_device_train_batch_size=2)
    assert (made.n_gpu, made.train_batch_size) == (1, 2)


def test_the_losses_of_liger_stay_off(tmp_path: Path) -> None:
    made = arguments(tmp_path, use_liger_kernel=True, liger_kernel_config={"rope": True})
    assert made.liger_kernel_config == {"rope": True, "cross_entropy": False, "fused_linear_cross_entropy": False}


def test_no_warning_of_a_name_that_transformers_gives_up(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    arguments(tmp_path, gradient_checkpointing_kwargs={"use_reentrant": False})
    assert [str(warning.message) for warning in recwarn if issubclass(warning.category, FutureWarning)] == []


def test_without_held_out_blocks_nothing_is_evaluated(tmp_path: Path) -> None:
    made = arguments(tmp_path, has_eval=False, eval_strategy="steps", eval_on_start=True)
    assert (made.eval_strategy, made.eval_on_start) == ("no", False)


@pytest.mark.parametrize(
    "fields", [{"save_strategy": "best"}, {"early_stopping_patience": 1}, {"lr_scheduler_type": "greedy"}], ids=str
)
def test_what_goes_by_evaluations_needs_held_out_blocks(tmp_path: Path, fields: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="no row is held out: set `formats"):
        arguments(tmp_path, has_eval=False, eval_strategy="epoch", **fields)


def is_there(optim: Optimizer) -> bool:
    package = TRAITS[optim].package
    return package is None or (package is BITSANDBYTES and importlib.util.find_spec(package.module) is not None)


def trainer(folder: Path, **fields: Any) -> Trainer:
    model = AutoModelForCausalLM.from_config(
        LlamaConfig(vocab_size=8, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2)
    )
    return Trainer(model=model, args=arguments(folder, **fields), eval_dataset=[{}])


@pytest.mark.parametrize("optim", [name for name in get_args(Optimizer) if is_there(name)])
def test_every_optimizer_that_is_installed_takes_a_step_and_keeps_what_we_say(tmp_path: Path, optim: Optimizer) -> None:
    made = trainer(tmp_path, optim=optim)
    optimizer = made.create_optimizer()
    for parameter in made.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    numbers = sum(
        value.numel()
        for parameter, state in optimizer.state.items()
        for value in state.values()
        if parameter.dim() > 1 and torch.is_tensor(value) and value.dim() > 1 and value.shape[-1] > 1
    )
    matrices = sum(parameter.numel() for parameter in made.model.parameters() if parameter.dim() > 1)
    assert numbers == TRAITS[optim].states * matrices


@pytest.mark.parametrize("scheduler", get_args(Scheduler))
def test_every_scheduler_is_made(tmp_path: Path, scheduler: Scheduler) -> None:
    made = trainer(
        tmp_path, lr_scheduler_type=scheduler, lr_scheduler_kwargs=NEEDED.get(scheduler), eval_strategy="epoch"
    )
    made.create_optimizer()
    made.create_scheduler(num_training_steps=10, optimizer=made.optimizer)
    assert made.lr_scheduler is not None
