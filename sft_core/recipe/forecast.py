"""What a training will take, told before it starts: steps, tokens, disk and memory.

    2,732 blocks, batches of 8, accumulated twice, 3 epochs  →  171 steps an epoch, 513 steps
    135M parameters in float32 with AdamW                    →  0.5 + 0.5 + 1.1 GB, and activations

Steps are exact. Memory is an estimate whose assumptions are told with it: it is meant to tell a GPU that is large
enough from one that is not, not to fill one to the last byte.
"""

from dataclasses import dataclass

from sft_core.evaluation import EvaluationConfig
from sft_core.evaluation.answering import settings_of
from sft_core.recipe.model_shape import ModelShape
from sft_core.training import (
    OPTIMIZER_TRAITS,
    TrainingConfig,
    num_steps,
    options_of,
    steps_between,
    steps_per_epoch,
)

SCALE_BYTES = 4 / 256
"""Optimizer states of 8 bits and fewer share a scale of 32 bits, 256 at a time."""
DEFAULT_RANK = 128
"""Of GaLore's and APOLLO's projections, unless `optim_args` says otherwise."""
HIDDEN_BYTES = {2: 34, 4: 40}
"""Bytes that one layer keeps of each token for the backward pass, by the model's width and by the bytes of the
arithmetic. Norms and the residual stream stay in float32, so half the arithmetic is not half the memory."""
INTERMEDIATE_VECTORS = 4
"""The same in the width of the feed-forward part: gate, its activation, up, and their product.

Both were counted from the tensors that PyTorch keeps for Llama and Qwen2 with fused attention, which keeps no matrix of
scores; models without gates and with dropout (GPT-2) keep about half as much again."""
ADAPTER_BYTES = 4
"""Of each number of an adapter: float32, whatever its base is in."""
MODEL_COPIES = 2
"""In the store, and where MLflow keeps its artifacts."""


@dataclass(frozen=True, slots=True)
class DataSize:
    """How large a data set is."""

    train_blocks: int
    train_tokens: int
    train_targets: int
    longest_block: int
    """In tokens, of the train split."""
    eval_blocks: int
    eval_tokens: int
    prompts: int
    """Held-out prompts that could be answered."""
    stored_bytes: int
    """Of all stages, in the store already."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes on each device at the peak of a step."""

    weights: int
    gradients: int
    optimizer: int
    low_precision_weights: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return (
            self.weights + self.gradients + self.optimizer + self.low_precision_weights + self.activations + self.logits
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a training will take."""

    steps: int
    steps_per_epoch: int
    epochs: float
    blocks_per_step: int
    tokens_per_step: int
    """On average."""
    tokens_seen: int
    """Without padding."""
    evaluations: int
    """Of the loss over held-out blocks, while training."""
    eval_tokens: int
    prompts: int
    """That are answered at the end, by each model that is measured; once for each setting of a sweep."""
    max_new_tokens: int
    models_measured: int
    num_parameters: int
    num_trained_parameters: int
    data_bytes: int
    model_bytes: int
    """That will be written: the weights, in the store and for MLflow."""
    memory: Memory
    assumptions: tuple[str, ...]


def forecast(
    training: TrainingConfig, evaluation: EvaluationConfig, num_processes: int, data: DataSize, model: ModelShape
) -> Forecast:
    """Tell what a recipe will take.

    Args:
        training: The `training` section.
        evaluation: The `evaluation` section.
        num_processes: That train, one device each.
        data: Of the packed data set.
        model: Of the model.
    """
    steps = num_steps(training, data.train_blocks, num_processes)
    per_epoch = steps_per_epoch(training, data.train_blocks, num_processes)
    blocks_per_step = min(
        training.per_device_train_batch_size * training.gradient_accumulation_steps * num_processes, data.train_blocks
    )
    epochs = steps / per_epoch
    settings = settings_of(evaluation.gen_kwargs)
    return Forecast(
        steps=steps,
        steps_per_epoch=per_epoch,
        epochs=epochs,
        blocks_per_step=blocks_per_step,
        tokens_per_step=round(data.train_tokens / per_epoch),
        tokens_seen=round(data.train_tokens * epochs),
        evaluations=_evaluations(training, steps, per_epoch) if data.eval_blocks else 0,
        eval_tokens=data.eval_tokens,
        prompts=min(evaluation.num_prompts, data.prompts) * len(settings),
        max_new_tokens=max(setting.max_new_tokens for setting in settings),
        models_measured=1 + evaluation.baseline,
        num_parameters=model.num_parameters,
        num_trained_parameters=model.num_trained_parameters,
        data_bytes=data.stored_bytes,
        model_bytes=MODEL_COPIES * _written_parameters(training, model) * model.bytes_per_parameter,
        memory=_memory(training, data, model),
        assumptions=_assumptions(training),
    )


def _written_parameters(training: TrainingConfig, model: ModelShape) -> int:
    return model.num_trained_parameters if training.peft and not training.merge_adapter else model.num_parameters


def _evaluations(training: TrainingConfig, steps: int, per_epoch: int) -> int:
    """Those before `eval_delay` (steps, or epochs) do not take place."""
    if training.eval_strategy == "no":
        return int(training.eval_on_start)
    if training.eval_strategy == "epoch":
        times = [epoch for epoch in range(1, steps // per_epoch + 1) if epoch >= training.eval_delay]
    else:
        every = steps_between(training.eval_steps or training.logging_steps, steps)
        times = [step for step in range(every, steps + 1, every) if step >= training.eval_delay]
    return len(times) + int(training.eval_on_start)


def _memory(training: TrainingConfig, data: DataSize, model: ModelShape) -> Memory:
    trained = model.num_trained_parameters * (ADAPTER_BYTES if training.peft else model.bytes_per_parameter)
    width = 2 if _is_half(training) else model.bytes_per_parameter
    tokens = min(training.per_device_train_batch_size, data.train_blocks) * data.longest_block
    layer = tokens * (HIDDEN_BYTES[width] * model.hidden_size + INTERMEDIATE_VECTORS * model.intermediate_size * width)
    inputs = tokens * model.hidden_size * model.bytes_per_parameter * model.num_layers
    targets = tokens * data.train_targets / max(data.train_tokens, 1)
    return Memory(
        weights=model.weight_bytes,
        gradients=trained if OPTIMIZER_TRAITS[training.optim].keeps_gradients else 0,
        optimizer=_optimizer_states(training, model),
        low_precision_weights=model.num_trained_parameters * 2 if width < model.bytes_per_parameter else 0,
        activations=_activations(training, layer, inputs, model.num_layers),
        # as they come out and their gradient, and both again in float32 for the loss
        logits=round(targets * model.vocab_size * (2 * width + 8)),
    )


def _activations(training: TrainingConfig, layer: int, inputs: int, num_layers: int) -> int:
    if training.activation_offloading:
        return layer
    return layer + inputs if training.gradient_checkpointing else layer * num_layers


def _optimizer_states(training: TrainingConfig, model: ModelShape) -> int:
    """Bytes that the optimizer keeps beside the weights.

    A projection to rank r leaves a matrix of [rows, columns] 2 states of r x the longer side and itself, r x the
    shorter: of all parameters outside of the embeddings, a share of about r / `hidden_size`.
    """
    traits, options = OPTIMIZER_TRAITS[training.optim], options_of(training.optim_args)
    states = traits.states + (training.optim == "sgd" and float(options.get("momentum", 0)) > 0)
    own_width = ADAPTER_BYTES if training.peft else model.bytes_per_parameter
    per_number = own_width if traits.bits is None else traits.bits / 8
    if traits.bits is not None and traits.bits <= 8:
        per_number += SCALE_BYTES
    is_whole = model.num_trained_parameters == model.num_parameters
    embeddings = min(model.vocab_size * model.hidden_size, model.num_parameters) if is_whole else 0
    others = model.num_trained_parameters - embeddings
    per_embedding = 4.0 if traits.embeddings_in_float32 else per_number
    if traits.is_low_rank:
        share = min(int(options.get("rank", DEFAULT_RANK)) / model.hidden_size, 1.0)
        return round(embeddings * states * per_embedding + others * share * (states * per_number + 4))
    return round(states * (embeddings * per_embedding + others * per_number))


def _is_half(training: TrainingConfig) -> bool:
    """Whether the arithmetic has 16 bits; where the recipe leaves it open, a GPU that has bfloat16 is taken for
    granted."""
    return training.fp16 or training.bf16 is not False


def _assumptions(training: TrainingConfig) -> tuple[str, ...]:
    arithmetic = "16-bit" if _is_half(training) else "full-precision"
    if training.bf16 is None and not training.fp16:
        arithmetic += " (a GPU with bfloat16)"
    again = "computed again in the backward pass" if training.gradient_checkpointing else "kept for the backward pass"
    if training.activation_offloading:
        again = "kept on the host but for one layer's"
    return (
        f"{arithmetic} arithmetic, fused attention, a whole copy of the model on each device",
        f"activations of a full batch of the longest blocks of a Llama-like model, {again}",
        "logits only at targets, at their average share",
        "without the GPU's own context and fragmentation (about 1 to 2 GB more)",
    )
