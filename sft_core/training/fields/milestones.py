"""Fields that set at which steps training logs, evaluates, saves checkpoints, or stops early."""

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section

LogLevel = Literal["debug", "info", "warning", "error", "critical", "passive"]


class MilestoneFields(Section):
    """Fields for logging, evaluation during training, and checkpoints. A number of steps below 1 is a share of all
    steps."""

    logging_strategy: Literal["no", "steps", "epoch"] = "steps"
    """When metrics are logged: every `logging_steps` (`steps`), after each epoch (`epoch`), or only at the end
    (`no`)."""
    logging_steps: int | float = Field(default=10, gt=0)
    """Number of steps between two logs of metrics, or a share of all steps. The last step is always logged."""
    logging_first_step: bool = False
    """Log metrics after the first step as well."""
    log_level: LogLevel = "passive"
    """Level of transformers' messages in the training's log file, on the first process. `passive`: leave
    transformers' setting as it is."""
    log_level_replica: LogLevel = "warning"
    """Level of transformers' messages on the other processes."""
    log_on_each_node: bool = True
    """With several machines, let the first process of each machine log at `log_level`; else only that of the first
    machine does."""
    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    """When the loss over held-out rows is measured during training: every `eval_steps` (`steps`), after each epoch
    (`epoch`), or never (`no`)."""
    eval_steps: int | float | None = Field(default=None, gt=0)
    """With `eval_strategy: steps`: number of steps between two evaluations, or a share of all steps. None: as
    `logging_steps`."""
    eval_delay: float = Field(default=0, ge=0)
    """Number of steps (epochs with `eval_strategy: epoch`) before the first evaluation may take place."""
    eval_on_start: bool = False
    """Evaluate once before the first step as well."""
    per_device_eval_batch_size: int = Field(default=8, ge=1)
    """Number of held-out blocks per batch and device. The scores do not depend on it."""
    num_eval_prompts: int = Field(default=0, ge=0)
    """Number of held-out prompts for which the model generates answers at each evaluation during training, with the
    settings of `evaluation`. 0: none."""
    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"
    """When a checkpoint is saved: every `save_steps` and at the end (`steps`), after each epoch (`epoch`), whenever an
    evaluation is the best so far (`best`), or never (`no`). An interrupted training resumes from the last one."""
    save_steps: int | float = Field(default=500, gt=0)
    """With `save_strategy: steps`: number of steps between two checkpoints, or a share of all steps."""
    save_total_limit: int | None = Field(default=2, ge=1)
    """Number of checkpoints to keep. Older ones are deleted, but never the best one. None: keep all (TRL's default)."""
    save_only_model: bool = False
    """Must be false: a training cannot resume from a checkpoint without the optimizer's state."""
    keep_checkpoints: bool = False
    """Keep the checkpoints together with the trained model. False: they only serve to resume an interrupted training,
    and are deleted when it ends."""
    load_best_model_at_end: bool = False
    """Load the weights of the best checkpoint when training ends, instead of keeping the last weights. Needs an
    evaluation at each checkpoint."""
    metric_for_best_model: str | None = Field(default=None, min_length=1)
    """Metric of the evaluations during training by which checkpoints are compared, with or without the prefix `eval_`.
    None: `loss`."""
    greater_is_better: bool | None = None
    """Treat a higher `metric_for_best_model` as better. None: true, unless its name ends with `loss`."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Number of evaluations in a row without an improvement of `metric_for_best_model` after which training stops.
    None: never."""
    early_stopping_threshold: float = Field(default=0.0, ge=0)
    """Smallest change of the metric that counts as an improvement."""

    @field_validator("logging_strategy", "eval_strategy", "save_strategy", mode="before")
    @classmethod
    def _no_is_a_word(cls, strategy: object) -> object:
        """Turn false back into `no`: YAML reads a bare `no` as false."""
        return "no" if strategy is False else strategy

    @field_validator("logging_steps", "eval_steps", "save_steps")
    @classmethod
    def _is_whole_or_a_share(cls, steps: float | None) -> float | None:
        if steps is not None and steps >= 1 and steps != int(steps):
            raise ValueError(f"expected a whole number of steps, or a share of all steps below 1; found {steps}")
        return int(steps) if steps is not None and steps >= 1 else steps

    @model_validator(mode="after")
    def _milestones_fit_together(self) -> Self:
        asking = {
            "save_strategy: best": self.save_strategy == "best",
            "load_best_model_at_end": self.load_best_model_at_end,
            "early_stopping_patience": self.early_stopping_patience is not None,
        }
        for name, is_asking in asking.items():
            if is_asking and self.eval_strategy == "no":
                raise ValueError(f"`{name}` depends on evaluations: set `eval_strategy` to steps or epoch")
        if self.num_eval_prompts and self.eval_strategy == "no" and not self.eval_on_start:
            raise ValueError("`num_eval_prompts` are answered at evaluations: set `eval_strategy` to steps or epoch")
        if self.load_best_model_at_end and self.save_strategy != "best":
            self._saves_where_it_evaluates()
        return self

    def _saves_where_it_evaluates(self) -> None:
        if self.save_strategy != self.eval_strategy:
            raise ValueError(
                "`load_best_model_at_end` needs a checkpoint of every evaluation: `save_strategy` has to be best, or "
                f"as `eval_strategy` ({self.eval_strategy}); found {self.save_strategy}"
            )
        every = self.eval_steps or self.logging_steps
        if self.save_strategy == "steps" and not _is_multiple(self.save_steps, every):
            raise ValueError(
                "`load_best_model_at_end` needs an evaluation at every checkpoint: `save_steps` has to be a multiple "
                f"of `eval_steps` ({every}); found {self.save_steps}"
            )

    @property
    def looks_for_best(self) -> bool:
        """True if evaluations are compared with each other to find the best."""
        return self.load_best_model_at_end or self.save_strategy == "best" or self.early_stopping_patience is not None


def steps_between(steps: float, all_steps: int) -> int:
    """Convert a number of steps, or a share of `all_steps` below 1, to a number of steps. Shares are rounded up, as in
    the Trainer."""
    return int(steps) if steps >= 1 else math.ceil(steps * all_steps)


def _is_multiple(steps: float, of: float) -> bool:
    """Return whether both are numbers of steps, or both are shares, and the first is a multiple of the second."""
    return (steps < 1) == (of < 1) and round(steps * 1_000_000) % round(of * 1_000_000) == 0
