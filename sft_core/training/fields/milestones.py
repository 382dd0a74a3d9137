"""What happens at which steps: logging, evaluation, checkpoints, and stopping early."""

import math
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from sft_core.section import Section

LogLevel = Literal["debug", "info", "warning", "error", "critical", "passive"]


class MilestoneFields(Section):
    """Logging, evaluation during training, and checkpoints. A number of steps below 1 is a share of all steps."""

    logging_strategy: Literal["no", "steps", "epoch"] = "steps"
    """When a line of metrics is written: every `logging_steps`, after each epoch, or only at the end."""
    logging_steps: int | float = Field(default=10, gt=0)
    """Steps between two lines of metrics, or a share of all steps; the last steps always get one."""
    logging_first_step: bool = False
    """Write a line after the first step as well."""
    log_level: LogLevel = "passive"
    """Of transformers' messages in the training's log file, on the first process; `passive`: as it is set."""
    log_level_replica: LogLevel = "warning"
    """The same on the other processes."""
    log_on_each_node: bool = True
    """With several machines: whether each of them, or the first alone, logs by `log_level`."""
    eval_strategy: Literal["no", "steps", "epoch"] = "no"
    """When the loss over held-out rows is measured during training: every `eval_steps`, after each epoch, or never."""
    eval_steps: int | float | None = Field(default=None, gt=0)
    """With `eval_strategy: steps`: steps, or a share of all steps; None: as `logging_steps`."""
    eval_delay: float = Field(default=0, ge=0)
    """Steps (with `eval_strategy: epoch` epochs) before which nothing is measured."""
    eval_on_start: bool = False
    """Measure it once before the first step as well."""
    per_device_eval_batch_size: int = Field(default=8, ge=1)
    """Held-out blocks at a time; the scores do not depend on it."""
    num_eval_prompts: int = Field(default=0, ge=0)
    """Held-out prompts that are answered at each evaluation during training, as `evaluation` says; 0: none."""
    save_strategy: Literal["no", "steps", "epoch", "best"] = "steps"
    """When a checkpoint is saved: every `save_steps` and at the end, after each epoch, whenever an evaluation was the
    best so far, or never. A training that was interrupted goes on from the last one."""
    save_steps: int | float = Field(default=500, gt=0)
    """With `save_strategy: steps`: steps, or a share of all steps."""
    save_total_limit: int | None = Field(default=2, ge=1)
    """Checkpoints to keep; older ones are deleted, the best never (TRL: all are kept). None: all."""
    save_only_model: bool = False
    """Only false: a checkpoint without the optimizer's state is none that a training could go on from."""
    keep_checkpoints: bool = False
    """Whether checkpoints stay with the trained model. Off: they serve an interrupted training, and go with its end."""
    load_best_model_at_end: bool = False
    """End with the weights of the best checkpoint instead of the last. Needs an evaluation at each checkpoint."""
    metric_for_best_model: str | None = Field(default=None, min_length=1)
    """A number of the evaluation during training, with or without `eval_`; None: `loss`."""
    greater_is_better: bool | None = None
    """Whether more of it is better; None: yes, unless its name ends with `loss`."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Stop after so many evaluations that did not get better by `metric_for_best_model`. None: never."""
    early_stopping_threshold: float = Field(default=0.0, ge=0)
    """By how much an evaluation has to be better to count."""

    @field_validator("logging_strategy", "eval_strategy", "save_strategy", mode="before")
    @classmethod
    def _no_is_a_word(cls, strategy: object) -> object:
        """YAML reads a bare `no` as false."""
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
                raise ValueError(f"`{name}` goes by evaluations: set `eval_strategy` to steps or epoch")
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
        """Whether evaluations are compared with each other."""
        return self.load_best_model_at_end or self.save_strategy == "best" or self.early_stopping_patience is not None


def steps_between(steps: float, all_steps: int) -> int:
    """Turn a number or a share of steps into a number, as the Trainer does: shares are rounded up."""
    return int(steps) if steps >= 1 else math.ceil(steps * all_steps)


def _is_multiple(steps: float, of: float) -> bool:
    """Both are numbers of steps, or both are shares."""
    return (steps < 1) == (of < 1) and round(steps * 1_000_000) % round(of * 1_000_000) == 0
