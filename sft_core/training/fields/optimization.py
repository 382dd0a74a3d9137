"""How far training goes, and how each step changes the weights."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section
from sft_core.training.optimizers import Optimizer, check_optimizer, options_of
from sft_core.training.schedulers import NEED_EVALUATION, Scheduler, check_scheduler


class OptimizationFields(Section):
    """Length, batch, learning rate, optimizer and regularization."""

    num_train_epochs: float = Field(default=3.0, gt=0)
    """Passes over the data."""
    max_steps: int = -1
    """Optimizer steps; if positive, overrides `num_train_epochs`."""
    per_device_train_batch_size: int = Field(default=8, ge=1)
    """Blocks (rows, where nothing is packed)."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Batches per optimizer step. The loss of a step has one denominator, so that batch size times this is all that
    counts."""
    learning_rate: float = Field(default=2e-5, ge=0)
    """TRL's default; from-scratch training wants more, for example 1e-3."""
    lr_scheduler_type: Scheduler = "linear"
    """Course of the learning rate after the warm-up. `reduce_lr_on_plateau` and `greedy` follow the held-out loss, and
    need `eval_strategy`."""
    lr_scheduler_kwargs: dict[str, Any] | None = None
    """Options of the scheduler, for example `{min_lr_rate: 0.1}` of `cosine_with_min_lr` or `{num_decay_steps: 100}` of
    `warmup_stable_decay`."""
    warmup_steps: float = Field(default=0, ge=0)
    """Steps, or a share of all steps if below 1."""
    optim: Optimizer = "adamw_torch_fused"
    """`adamw_torch_fused` is TRL's default; `adafactor`, `sgd` and those of 8 bits need less memory. Some need a
    package or a GPU; a run says so before it starts."""
    optim_args: str | None = None
    """Options of the optimizer that have no field of their own: `name=value,name=value`, for example `momentum=0.9` of
    `sgd`."""
    optim_target_modules: str | tuple[str, ...] | None = None
    """With a `galore` or `apollo` optimizer, which needs it: names of the linear layers whose gradients it projects, a
    regular expression, or `all-linear`."""
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
    label_smoothing_factor: float = Field(default=0.0, ge=0, le=1)
    """Share ε of the loss that all tokens of the vocabulary have in equal parts (label smoothing, arXiv 1512.00567):
    (1 − ε) × −log p of the target, and ε × the mean of −log p of all. Metrics then have `nll` besides `loss`."""
    average_tokens_across_devices: bool = True
    """Only true: a step has one denominator, the targets of all processes."""
    neftune_noise_alpha: float | None = Field(default=None, gt=0)
    """Noise added to the input embeddings while training (NEFTune, arXiv:2310.05914); 5 to 15 are usual. None: none."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Of random weights, of dropout, and of the order of the data unless `data_seed` is given."""
    full_determinism: bool = False
    """Let the GPU use only algorithms that give the same bits each time. Slower."""

    @field_validator("optim_args")
    @classmethod
    def _reads_as_options(cls, text: str | None) -> str | None:
        options_of(text)
        return text

    @model_validator(mode="after")
    def _optimization_fits_together(self) -> Self:
        if self.max_steps == 0 or self.max_steps < -1:
            raise ValueError(
                f"`max_steps` is a positive number of steps, or -1 for whole epochs; found {self.max_steps}"
            )
        check_optimizer(self.optim, self.optim_args, self.optim_target_modules, self.gradient_accumulation_steps)
        check_scheduler(self.lr_scheduler_type, self.lr_scheduler_kwargs)
        return self

    @property
    def follows_evaluation(self) -> bool:
        """Whether the learning rate depends on the held-out loss."""
        return self.lr_scheduler_type in NEED_EVALUATION
