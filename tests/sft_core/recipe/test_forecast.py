"""What a training will take, with numbers that can be checked by hand."""

import dataclasses

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sft_core.evaluation import EvaluationConfig
from sft_core.recipe.forecast import DataSize, Forecast, forecast
from sft_core.recipe.model_shape import ModelShape
from sft_core.training import TrainingConfig

DATA = DataSize(
    train_blocks=100,
    train_tokens=10_000,
    train_targets=5_000,
    longest_block=128,
    eval_blocks=10,
    eval_tokens=1_000,
    prompts=7,
    stored_bytes=1_000_000,
)
MODEL = ModelShape(
    num_parameters=1_000_000,
    num_layers=2,
    hidden_size=10,
    intermediate_size=40,
    vocab_size=1_000,
    bytes_per_parameter=4,
    num_trained_parameters=1_000_000,
    weight_bytes=4_000_000,
)


def ask(num_processes: int = 1, evaluation: EvaluationConfig | None = None, **training: object) -> Forecast:
    return forecast(
        TrainingConfig(**training),  # type: ignore[arg-type]
        evaluation or EvaluationConfig(),
        num_processes,
        DATA,
        MODEL,
    )


@pytest.mark.parametrize(
    ("num_processes", "training", "steps_per_epoch", "steps", "tokens_seen"),
    [
        (1, {"per_device_train_batch_size": 10, "num_train_epochs": 3}, 10, 30, 30_000),
        (1, {"per_device_train_batch_size": 8, "gradient_accumulation_steps": 2}, 7, 21, 30_000),
        (4, {"per_device_train_batch_size": 8, "num_train_epochs": 1.5}, 4, 6, 15_000),
        (1, {"per_device_train_batch_size": 10, "max_steps": 5}, 10, 5, 5_000),
    ],
)
def test_steps_and_tokens(
    num_processes: int, training: dict[str, object], steps_per_epoch: int, steps: int, tokens_seen: int
) -> None:
    told = ask(num_processes, **training)
    assert (told.steps_per_epoch, told.steps, told.tokens_seen) == (steps_per_epoch, steps, tokens_seen)


def test_weights_gradients_and_states_are_counted_by_the_parameter() -> None:
    memory = ask(per_device_train_batch_size=1).memory
    assert (memory.weights, memory.gradients, memory.optimizer) == (4_000_000, 4_000_000, 8_000_000)
    assert memory.low_precision_weights == 2_000_000
    assert ask(optim="sgd").memory.optimizer == 0
    assert ask(bf16=False).memory.low_precision_weights == 0


def test_gradients_and_states_are_those_of_what_is_trained_and_adapters_are_float32() -> None:
    shape = dataclasses.replace(MODEL, bytes_per_parameter=2, num_trained_parameters=1_000, weight_bytes=500_000)
    told = forecast(TrainingConfig(peft={"peft_type": "LORA"}, merge_adapter=False), EvaluationConfig(), 1, DATA, shape)
    assert (told.memory.weights, told.memory.gradients, told.memory.optimizer) == (500_000, 4_000, 8_000)
    assert (told.num_trained_parameters, told.model_bytes) == (1_000, 2 * 2_000)


def test_activations_and_logits_grow_with_the_batch() -> None:
    one, four = (ask(per_device_train_batch_size=size, gradient_checkpointing=False).memory for size in (1, 4))
    assert one.activations == 2 * 128 * (34 * 10 + 4 * 40 * 2)
    assert one.logits == 128 // 2 * 1_000 * (2 * 2 + 8)
    assert (four.activations, four.logits) == (4 * one.activations, 4 * one.logits)
    assert ask(per_device_train_batch_size=1).memory.activations == 128 * ((34 * 10 + 4 * 40 * 2) + 2 * 10 * 4)


def test_activations_on_the_host_leave_those_of_one_layer() -> None:
    for checkpointing in (False, True):
        told = ask(per_device_train_batch_size=1, gradient_checkpointing=checkpointing, activation_offloading=True)
        assert told.memory.activations == 128 * (34 * 10 + 4 * 40 * 2)


def test_evaluation_is_told_as_well() -> None:
    told = ask(per_device_train_batch_size=10, eval_strategy="steps", eval_steps=4, eval_on_start=True)
    assert (told.evaluations, told.prompts, told.max_new_tokens, told.models_measured) == (8, 7, 64, 2)
    assert ask(evaluation=EvaluationConfig(num_prompts=3, baseline=False)).prompts == 3
    assert told.model_bytes == 2 * 4_000_000


def test_the_total_is_the_sum() -> None:
    memory = ask().memory
    assert memory.total == sum(getattr(memory, name) for name in memory.__slots__)


def kept_for_backward(num_layers: int, tokens: int) -> int:
    """Bytes of all tensors that PyTorch keeps for the backward pass of a small Llama, weights aside."""
    config = AutoConfig.for_model(
        "llama",
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=num_layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=64,
    )
    model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").train()
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model(input_ids=torch.ones(1, tokens, dtype=torch.long), use_cache=False)
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


def test_the_estimate_of_activations_is_what_a_real_layer_keeps() -> None:
    real = kept_for_backward(4, tokens=128) - kept_for_backward(3, tokens=128)
    shape = ModelShape(0, 1, 256, 688, vocab_size=64, bytes_per_parameter=4, num_trained_parameters=0, weight_bytes=0)
    config = TrainingConfig(bf16=False, per_device_train_batch_size=1, gradient_checkpointing=False)
    told = forecast(config, EvaluationConfig(), 1, DATA, shape).memory.activations
    assert told == pytest.approx(real, rel=0.1)


@pytest.mark.parametrize(
    ("training", "optimizer"),
    [
        ({"optim": "adafactor"}, 0),
        ({"optim": "sgd"}, 0),
        ({"optim": "sgd", "optim_args": "momentum=0.9"}, 4_000_000),
        ({"optim": "rmsprop"}, 4_000_000),
        ({"optim": "ademamix"}, 12_000_000),
        ({"optim": "paged_lion_32bit"}, 4_000_000),
        # 10,000 embeddings keep 32 bits; 990,000 others 8 bits and a 256th of 32: 2 x (40,000 + 990,000 + 15,469)
        ({"optim": "adamw_8bit"}, 2_090_938),
        ({"optim": "lion_8bit"}, 1_045_469),
        # all parameters, half a byte and a 256th of 32 bits, twice
        ({"optim": "adamw_torch_4bit"}, 1_031_250),
        # rank 5 of 10: half of the numbers, each with two states, and the projection
        ({"optim": "galore_adamw", "optim_target_modules": "all-linear", "optim_args": "rank=5"}, 6_020_000),
    ],
    ids=str,
)
def test_each_optimizer_keeps_its_own(training: dict[str, object], optimizer: int) -> None:
    assert ask(per_device_train_batch_size=1, **training).memory.optimizer == optimizer


def test_half_precision_weights_have_states_as_wide_as_themselves_unless_the_optimizer_has_its_own() -> None:
    model = dataclasses.replace(MODEL, bytes_per_parameter=2)

    def states(optim: str) -> int:
        config = TrainingConfig(optim=optim)  # type: ignore[arg-type]
        return forecast(config, EvaluationConfig(), 1, DATA, model).memory.optimizer

    assert (states("adamw_torch"), states("paged_adamw_32bit")) == (4_000_000, 8_000_000)


def test_an_optimizer_that_changes_layer_by_layer_keeps_no_gradients() -> None:
    assert ask(optim="lomo").memory.gradients == 0


@pytest.mark.parametrize(
    ("training", "evaluations"),
    [
        ({"eval_strategy": "no"}, 0),
        ({"eval_strategy": "no", "eval_on_start": True}, 1),
        ({"eval_strategy": "epoch"}, 3),
        ({"eval_strategy": "epoch", "eval_delay": 2}, 2),
        ({"eval_strategy": "steps", "eval_steps": 7}, 4),
        ({"eval_strategy": "steps", "eval_steps": 7, "eval_delay": 14}, 3),
        ({"eval_strategy": "steps", "eval_steps": 0.25}, 3),
        ({"eval_strategy": "steps", "logging_steps": 0.5}, 2),
    ],
    ids=str,
)
def test_evaluations_of_thirty_steps_in_three_epochs(training: dict[str, object], evaluations: int) -> None:
    assert ask(per_device_train_batch_size=10, num_train_epochs=3, **training).evaluations == evaluations
