"""Forecast the steps, tokens, disk space and memory of a training before it starts.

    2,732 blocks, batches of 8, accumulated twice, 3 epochs  →  171 steps per epoch, 513 steps
    135M parameters in float32 with AdamW                    →  0.5 + 0.5 + 1.1 GB, and activations

Steps are exact. Memory is an estimate, reported with its assumptions. It shows whether a GPU is large enough; it is not
precise enough to fill one to the last byte.
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
"""Bytes per number for the scale of optimizer states with at most 8 bits: 32 bits for every 256 numbers."""
DEFAULT_RANK = 128
"""Rank of GaLore's and APOLLO's projections if `optim_args` does not set it."""
HIDDEN_BYTES = {2: 34, 4: 40}
"""Bytes of arithmetic → bytes per token and unit of hidden size that one layer saves for the backward pass. Norms and
the residual stream stay in float32, so arithmetic with half the bits does not halve the memory."""
INTERMEDIATE_VECTORS = 4
"""Vectors of the feed-forward width that one layer saves per token: gate, its activation, up, and their product.

Both numbers were counted from the tensors that PyTorch saves for Llama and Qwen2 with fused attention, which saves no
matrix of attention scores. Models without gates and with dropout (GPT-2) save about half as much again."""
ADAPTER_BYTES = 4
"""Bytes of each number of an adapter: float32, whatever the dtype of its base model."""
MODEL_COPIES = 2
"""Copies of a trained model: one in the store, and one among MLflow's artifacts."""


@dataclass(frozen=True, slots=True)
class DataSize:
    """Size of a packed data set."""

    train_blocks: int
    train_tokens: int
    train_targets: int
    longest_block: int
    """Number of tokens of the longest block in the train split."""
    eval_blocks: int
    eval_tokens: int
    prompts: int
    """Number of held-out prompts that a model can answer."""
    stored_bytes: int
    """Bytes of the artifacts of all data stages, which are already in the store."""


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
        """Sum of all parts."""
        return (
            self.weights + self.gradients + self.optimizer + self.low_precision_weights + self.activations + self.logits
        )


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of a training and its evaluation."""

    steps: int
    steps_per_epoch: int
    epochs: float
    blocks_per_step: int
    tokens_per_step: int
    """Average number of tokens of a step."""
    tokens_seen: int
    """Number of tokens in all epochs, without padding."""
    evaluations: int
    """Number of evaluations of the loss over held-out blocks during training."""
    eval_tokens: int
    prompts: int
    """Number of prompts that each measured model answers at the end; a prompt counts once per combination of swept
    generation settings."""
    max_new_tokens: int
    models_measured: int
    num_parameters: int
    num_trained_parameters: int
    data_bytes: int
    model_bytes: int
    """Bytes that will be written for the weights, in the store and for MLflow."""
    memory: Memory
    assumptions: tuple[str, ...]


def forecast(
    training: TrainingConfig, evaluation: EvaluationConfig, num_processes: int, data: DataSize, model: ModelShape
) -> Forecast:
    """Forecast the training and evaluation of a recipe.

    Args:
        training: The recipe's `training` section.
        evaluation: The recipe's `evaluation` section.
        num_processes: Number of training processes, with one device each.
        data: Size of the packed data set.
        model: Size of the model.
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
    """Return the number of evaluations during training; those before `eval_delay` (steps, or epochs) are skipped."""
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
        # the model's output and its gradient, and both again in float32 for the loss
        logits=round(targets * model.vocab_size * (2 * width + 8)),
    )


def _activations(training: TrainingConfig, layer: int, inputs: int, num_layers: int) -> int:
    if training.activation_offloading:
        return layer
    return layer + inputs if training.gradient_checkpointing else layer * num_layers


def _optimizer_states(training: TrainingConfig, model: ModelShape) -> int:
    """Return the bytes of the optimizer's states.

    With a projection to rank r, a matrix of [rows, columns] has 2 states of r x the longer side, and the projection
    itself has r x the shorter side. Each is a share of about r / `hidden_size` of all parameters outside of the
    embeddings.
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
    """Return True if the arithmetic has 16 bits. If the recipe does not set it, a GPU with bfloat16 is assumed."""
    return training.fp16 or training.bf16 is not False


def _assumptions(training: TrainingConfig) -> tuple[str, ...]:
    arithmetic = "16-bit" if _is_half(training) else "full-precision"
    if training.bf16 is None and not training.fp16:
        arithmetic += " (a GPU with bfloat16)"
    again = "computed again in the backward pass" if training.gradient_checkpointing else "kept for the backward pass"
    if training.activation_offloading:
        again = "kept on the host except for one layer's"
    return (
        f"{arithmetic} arithmetic, fused attention, a full copy of the model on each device",
        f"activations of a full batch of the longest blocks of a Llama-like model, {again}",
        "logits only at targets, at their average share",
        "without the GPU's own context and fragmentation (about 1 to 2 GB more)",
    )
