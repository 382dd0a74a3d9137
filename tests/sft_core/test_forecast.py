"""What a training will take, with numbers that can be checked by hand."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sft_core.evaluation import EvaluationConfig
from sft_core.forecast import DataSize, Forecast, forecast
from sft_core.model_shape import ModelShape
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
    shape = replace(MODEL, bytes_per_parameter=2, num_trained_parameters=1_000, weight_bytes=500_000)
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
