"""The `training` section, with names and defaults of TRL's `SFTConfig` and transformers' `TrainingArguments`."""

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from sft_core.training.fields import (
    DistributionFields,
    LoadingFields,
    MemoryFields,
    MilestoneFields,
    OptimizationFields,
    WeightFields,
)
from sft_core.training.owned import ONE_VALUE, OWNED


class TrainingConfig(  # pydantic lists the fields of the last base first
    DistributionFields, LoadingFields, MilestoneFields, MemoryFields, WeightFields, OptimizationFields
):
    """Settings of the training: optimization, length, precision, logging and checkpoints. The section has every field
    of transformers' `TrainingArguments` except those that the pipeline sets itself, which are refused with the
    reason."""

    refused: ClassVar[Mapping[str, str]] = OWNED

    loss_type: Literal["nll", "dft"] = "nll"
    """Loss, a mean over the target tokens of an optimizer step. `nll`: the negative log-likelihood −log p. `dft`:
    dynamic fine-tuning (arXiv 2508.05629), p × −log p with a p that has no gradient, so that unlikely targets have
    less influence; metrics then have `nll` as well as `loss`."""
    router_aux_loss_coef: float | None = Field(default=None, ge=0)
    """Factor of the load-balancing loss of a mixture-of-experts model. None: the value of the model configuration; 0:
    no such loss. Metrics have `aux_loss`, without the factor."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for name, (value, reason) in ONE_VALUE.items():
            if getattr(self, name) != value:
                raise ValueError(f"`{name}` can only be {str(value).lower()}: {reason}; found {getattr(self, name)}")
        if self.label_smoothing_factor and self.loss_type != "nll":
            raise ValueError("`label_smoothing_factor` belongs to `loss_type: nll`; leave it out")
        if self.peft and self.num_layers_unfrozen != -1:
            raise ValueError("`peft` trains an adapter and freezes all layers: leave out `num_layers_unfrozen`")
        if self.peft and self.freeze:
            raise ValueError("`peft` trains an adapter and freezes the model: leave out `freeze`")
        if self.follows_evaluation and self.eval_strategy == "no":
            raise ValueError(
                f"`lr_scheduler_type: {self.lr_scheduler_type}` follows the held-out loss: set `eval_strategy` to "
                "steps or epoch"
            )
        return self
