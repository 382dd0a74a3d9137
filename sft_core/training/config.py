"""How the model is trained: names and defaults of TRL's `SFTConfig` and of transformers' `TrainingArguments`."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sft_core.section import Section

Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "cosine_with_min_lr",
]
Optimizer = Literal["adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "rmsprop", "adagrad"]


class TrainingConfig(Section):
    """Optimization, length, precision, and what is reported when."""

    loss_type: Literal["nll"] = "nll"
    """Mean negative log-likelihood over the target tokens of an optimizer step."""
    num_train_epochs: float = Field(default=3.0, gt=0)
    """Passes over the data."""
    max_steps: int = -1
    """Optimizer steps; if positive, overrides `num_train_epochs`."""
    per_device_train_batch_size: int = Field(default=8, ge=1)
    """Blocks (rows, where nothing is packed)."""
    per_device_eval_batch_size: int = Field(default=8, ge=1)
    """Held-out blocks at a time; the scores do not depend on it."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Batches per optimizer step. The loss of a step has one denominator, so that batch size times this is all that
    counts."""
    learning_rate: float = Field(default=2e-5, ge=0)
    """TRL's default; from-scratch training wants more, for example 1e-3."""
    lr_scheduler_type: Scheduler = "linear"
    """Course of the learning rate after the warm-up."""
    warmup_steps: float = Field(default=0, ge=0)
    """Steps, or a share of all steps if below 1."""
    optim: Optimizer = "adamw_torch_fused"
    """`adamw_torch_fused` is TRL's default; `adafactor` and `sgd` need less memory."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Not applied to biases and norms."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the mean of their squares."""
    adam_epsilon: float = Field(default=1e-8, gt=0)
    """Keeps the division finite."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Gradients are scaled down to this norm; 0 leaves them alone."""
    seed: int = 42
    """Of random weights, of dropout, and of the order of the data unless `data_seed` is given."""
    data_seed: int | None = None
    """Of the order of the data; None: as `seed`."""
    bf16: bool | None = None
    """bfloat16 arithmetic over weights in `model.dtype`. None: where the hardware has it (TRL: always, unless fp16)."""
    fp16: bool = False
    """float16 arithmetic with loss scaling, for GPUs without bfloat16."""
    padding_free: bool | None = None
    """Put the documents of a batch one after the other into one row, without padding. None: where the attention is one
    of variable length (`model.attn_implementation`), which needs no mask for that."""
    gradient_checkpointing: bool = True
    """Compute activations again in the backward pass: less memory, about a fifth slower."""
    logging_steps: int = Field(default=10, ge=1)
    """Steps between two lines of metrics; the last steps always get one."""
    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    """When the loss over held-out rows is measured during training: every `eval_steps`, after each epoch, or never."""
    eval_steps: int | None = Field(default=None, ge=1)
    """With `eval_strategy: steps`; None: as `logging_steps`."""
    eval_on_start: bool = False
    """Measure it once before the first step as well."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.max_steps == 0 or self.max_steps < -1:
            raise ValueError(
                f"`max_steps` is a positive number of steps, or -1 for whole epochs; found {self.max_steps}"
            )
        if self.fp16 and self.bf16:
            raise ValueError("`fp16` and `bf16` exclude each other")
        return self
