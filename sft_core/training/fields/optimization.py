"""Fields that set the length of training and how each step changes the weights."""

from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section
from sft_core.training.optimizers import Optimizer, check_optimizer, options_of
from sft_core.training.schedulers import NEED_EVALUATION, Scheduler, check_scheduler


class OptimizationFields(Section):
    """Fields for length, batch size, learning rate, optimizer and regularization."""

    num_train_epochs: float = Field(default=3.0, gt=0)
    """Number of passes over the data."""
    max_steps: int = -1
    """Number of optimizer steps. If positive, it overrides `num_train_epochs`."""
    per_device_train_batch_size: int = Field(default=8, ge=1)
    """Number of blocks (rows without packing) per batch and device."""
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    """Number of batches per optimizer step. The loss of a step is one mean over the targets of all its batches, so
    only the product of this and the batch size matters."""
    learning_rate: float = Field(default=2e-5, ge=0)
    """Peak learning rate (TRL's default). Training from scratch needs a higher one, for example 1e-3."""
    lr_scheduler_type: Scheduler = "linear"
    """Schedule of the learning rate after the warm-up. `reduce_lr_on_plateau` and `greedy` follow the held-out loss
    and need `eval_strategy`."""
    lr_scheduler_kwargs: dict[str, Any] | None = None
    """Options of the scheduler, for example `{min_lr_rate: 0.1}` for `cosine_with_min_lr` or `{num_decay_steps: 100}`
    for `warmup_stable_decay`."""
    warmup_steps: float = Field(default=0, ge=0)
    """Number of warm-up steps, or a share of all steps if below 1."""
    optim: Optimizer = "adamw_torch_fused"
    """Optimizer. `adamw_torch_fused` is TRL's default; `adafactor`, `sgd` and the 8-bit optimizers need less memory.
    Some require a package or a GPU, which a run checks before it starts."""
    optim_args: str | None = None
    """Options of the optimizer that have no field of their own, as `name=value,name=value`, for example `momentum=0.9`
    for `sgd`."""
    optim_target_modules: str | tuple[str, ...] | None = None
    """Linear layers whose gradients a `galore` or `apollo` optimizer projects: a list of names, a regular expression,
    or `all-linear`. Required with these optimizers, and refused with all others."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay coefficient. It is not applied to biases and norms."""
    adam_beta1: float = Field(default=0.9, ge=0, lt=1)
    """Adam's decay rate of the running mean of gradients."""
    adam_beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's decay rate of the running mean of squared gradients."""
    adam_epsilon: float = Field(default=1e-8, gt=0)
    """Constant added to Adam's denominator for numerical stability."""
    max_grad_norm: float = Field(default=1.0, ge=0)
    """Norm to which larger gradients are clipped. 0: no clipping."""
    label_smoothing_factor: float = Field(default=0.0, ge=0, le=1)
    """Label smoothing ε (arXiv 1512.00567): the loss is (1 − ε) × −log p of the target plus ε × the mean of −log p over
    the whole vocabulary. If it is not 0, metrics have `nll` as well as `loss`."""
    average_tokens_across_devices: bool = True
    """Must be true: the loss of a step is a mean over the targets of all processes."""
    neftune_noise_alpha: float | None = Field(default=None, gt=0)
    """Scale of the noise added to the input embeddings during training (NEFTune, arXiv:2310.05914); 5 to 15 are usual.
    None: no noise."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of random weights, of dropout, and, unless `data_seed` is given, of the order of the data."""
    full_determinism: bool = False
    """Use only deterministic GPU algorithms, which give bit-identical results in every run. Slower."""

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
        """True if the scheduler adjusts the learning rate by the held-out loss."""
        return self.lr_scheduler_type in NEED_EVALUATION
