"""The section is TrainingArguments: every field with its default, or refused, or different for a reason."""

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import ValidationError
from torch.utils.checkpoint import checkpoint
from transformers import TrainingArguments
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION
from transformers.trainer_utils import IntervalStrategy, SaveStrategy, SchedulerType
from transformers.training_args import OptimizerNames
from trl import SFTConfig

from sft_core.recipe.aliases import ALIASES
from sft_core.training import TrainingConfig
from sft_core.training.fields.memory import CHECKPOINTING_OPTIONS
from sft_core.training.optimizers import TRAITS, Optimizer
from sft_core.training.owned import ONE_VALUE, OWNED
from sft_core.training.schedulers import OPTIONS, Scheduler

LIVE = {field.name: field for field in dataclasses.fields(TrainingArguments)}
TRL = {field.name: field.default for field in dataclasses.fields(SFTConfig)}
OTHER_DEFAULTS = {
    "learning_rate": "TRL's",
    "logging_steps": "TRL's",
    "gradient_checkpointing": "TRL's",
    "bf16": "TRL's: None is decided by the hardware",
    "save_total_limit": "checkpoints serve an interrupted training alone, which needs the last one",
}
OURS = {
    *(
        "loss_type",
        "activation_offloading",
        "num_layers_unfrozen",
        "freeze",
        "peft",
        "merge_adapter",
        "keep_checkpoints",
    ),
    *(
        "early_stopping_patience",
        "early_stopping_threshold",
        "num_eval_prompts",
        "router_aux_loss_coef",
        "padding_free",
    ),
}
"""Fields that TrainingArguments does not have: TRL's, trlX's and our own."""


@pytest.mark.parametrize("name", LIVE)
def test_every_training_argument_is_a_field_or_refused_with_a_reason(name: str) -> None:
    ways = (name in TrainingConfig.model_fields, name in OWNED, f"training.{name}" in ALIASES)
    assert sum(ways) == 1


def test_there_are_no_other_fields_than_those_that_are_known_to_be_ours() -> None:
    assert set(TrainingConfig.model_fields) - set(LIVE) <= OURS
    assert set(OWNED) <= set(LIVE)
    assert set(ONE_VALUE) <= set(TrainingConfig.model_fields)


@pytest.mark.parametrize("name", sorted(set(LIVE) & set(TrainingConfig.model_fields)))
def test_defaults_are_the_same_unless_there_is_a_reason(name: str) -> None:
    ours, live = TrainingConfig.model_fields[name].default, LIVE[name].default
    assert (ours != live) == (name in OTHER_DEFAULTS)
    if OTHER_DEFAULTS.get(name, "").startswith("TRL's"):
        assert ours == TRL[name]


@pytest.mark.parametrize(
    ("ours", "live"),
    [
        (get_args(Optimizer), OptimizerNames),
        (get_args(Scheduler), SchedulerType),
        (get_args(TrainingConfig.model_fields["logging_strategy"].annotation), IntervalStrategy),
        (get_args(TrainingConfig.model_fields["eval_strategy"].annotation), IntervalStrategy),
        (get_args(TrainingConfig.model_fields["save_strategy"].annotation), SaveStrategy),
    ],
    ids=["optim", "lr_scheduler_type", "logging_strategy", "eval_strategy", "save_strategy"],
)
def test_names_are_those_of_the_live_enums(ours: tuple[str, ...], live: Any) -> None:
    assert set(ours) == {item.value for item in live}


def test_every_optimizer_has_traits() -> None:
    assert set(TRAITS) == set(get_args(Optimizer))


@pytest.mark.parametrize("scheduler", OPTIONS)
def test_options_of_schedulers_are_those_of_their_functions(scheduler: Scheduler) -> None:
    given = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    parameters = inspect.signature(TYPE_TO_SCHEDULER_FUNCTION[SchedulerType(scheduler)]).parameters
    assert set(OPTIONS[scheduler]) == set(parameters) - given


def test_options_of_checkpointing_are_those_of_torch_and_transformers() -> None:
    taken = set(inspect.signature(checkpoint).parameters) - {"function", "args", "kwargs", "context_fn"}
    assert taken | {"preserve_rng_state", "every_n_layers", "offload"} == set(CHECKPOINTING_OPTIONS)


def test_reading_a_section_does_not_import_torch() -> None:
    code = (
        "import sys; from sft_core.training import TrainingConfig; TrainingConfig(optim='adamw_8bit');"
        "print([name for name in ('torch', 'transformers', 'accelerate') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"optim": "adamw_hf"}, "Input should be 'adamw_torch'"),
        ({"lr_scheduler_type": "cosine_annealing"}, "Input should be 'linear'"),
        ({"lr_scheduler_kwargs": {"num_cycles": 2}}, "`lr_scheduler_type: linear` are none; found num_cycles"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "needs `lr_scheduler_kwargs: {min_lr_rate: 0.1}`"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "needs `lr_scheduler_kwargs: {num_decay_steps"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "follows the held-out loss: set `eval_strategy`"),
        ({"optim_args": "momentum"}, "expected name=value,name=value"),
        ({"optim_args": "momentum=0.9"}, "`optim: adamw_torch_fused` takes no `optim_args`"),
        ({"optim": "galore_adamw"}, "needs `optim_target_modules`"),
        (
            {"optim": "galore_adafactor_layerwise", "optim_target_modules": "all-linear"},
            "transformers 5 cannot create it",
        ),
        ({"optim_target_modules": ["attn"]}, "belongs to the `galore` and `apollo` optimizers"),
        ({"optim": "lomo", "gradient_accumulation_steps": 2}, "set `gradient_accumulation_steps` to 1, found 2"),
        ({"average_tokens_across_devices": False}, "can only be true: the loss of a step is a mean over"),
        ({"label_smoothing_factor": 0.1, "loss_type": "dft"}, "belongs to `loss_type: nll`"),
        ({"use_cache": True}, "can only be false: with a key-value cache"),
        ({"save_only_model": True}, "can only be false: an interrupted training"),
        ({"gradient_checkpointing_kwargs": {"use_reentrand": False}}, "found use_reentrand"),
        ({"liger_kernel_config": {"rope": True}}, "no effect without `use_liger_kernel: true`"),
        ({"use_liger_kernel": True, "liger_kernel_config": {"cross_entropy": True}}, "cross_entropy has to be off"),
        ({"dataloader_prefetch_factor": 2}, "needs worker processes: set `dataloader_num_workers`"),
        ({"dataloader_persistent_workers": True}, "needs worker processes"),
        ({"train_sampling_strategy": "batch_rebalance"}, "Input should be 'random'"),
        ({"logging_steps": 1.5}, "a whole number of steps, or a share of all steps below 1; found 1.5"),
        ({"logging_steps": 0}, "greater than 0"),
        ({"load_best_model_at_end": True}, "`load_best_model_at_end` depends on evaluations: set `eval_strategy`"),
        ({"save_strategy": "best"}, "`save_strategy: best` depends on evaluations"),
        ({"early_stopping_patience": 3}, "`early_stopping_patience` depends on evaluations"),
        ({"load_best_model_at_end": True, "eval_strategy": "epoch"}, "as `eval_strategy` .epoch.; found steps"),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 30, "save_steps": 100},
            "a multiple of `eval_steps` .30.; found 100",
        ),
        (
            {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 0.1, "save_steps": 100},
            "a multiple of `eval_steps` .0.1.; found 100",
        ),
        ({"fsdp": True, "deepspeed": {}}, "`fsdp` and `deepspeed` exclude each other"),
        ({"fsdp_config": {"version": 2}}, "`fsdp_config` has no effect without `fsdp: true`"),
        ({"deepspeed": {"zero_optimization": {"stage": 3}}}, "no model folder can be saved unless zero_optimization."),
        ({"deepspeed": "nowhere.json"}, "expected a JSON file at 'nowhere.json', found none"),
        ({"parallelism_config": {"tp_size": 2}}, "found tp_size. Processes get whole blocks"),
        ({"seed": 2**32}, "less than 4294967296"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_before_any_work(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        TrainingConfig(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 0.1, "save_steps": 0.3},
        {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 50, "save_steps": 100},
        {"load_best_model_at_end": True, "eval_strategy": "epoch", "save_strategy": "best"},
        {"lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
        {"optim": "sgd", "optim_args": "momentum=0.9, nesterov=true"},
        {"optim": "apollo_adamw", "optim_target_modules": "all-linear"},
    ],
    ids=str,
)
def test_what_fits_together_is_accepted(fields: dict[str, Any]) -> None:
    TrainingConfig(**fields)


def test_a_configuration_file_counts_by_its_content_and_not_by_its_place(tmp_path: Path) -> None:
    content = {"zero_optimization": {"stage": 2}, "gradient_clipping": "auto"}
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_text(json.dumps(content))
    first, second = (TrainingConfig(deepspeed=str(tmp_path / name)) for name in ("a.json", "b.json"))  # type: ignore[arg-type]
    assert first == second == TrainingConfig(deepspeed=content)
