"""Data types of scoring: answers, and scores of answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Value = float | bool | None
"""Value of a metric for one answer; None if the metric is undefined for it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to prompts; every list has one entry per prompt."""

    prompts: list[str]
    outputs: list[str]
    references: list[str]
    metadata: dict[str, list[Any]]
    """Columns of the held-out rows, by name."""

    @property
    def samples(self) -> list[str]:
        """Texts of prompt and answer together."""
        return [prompt + output for prompt, output in zip(self.prompts, self.outputs, strict=True)]


@dataclass(frozen=True, slots=True)
class Measure:
    """A score over all answers, with the values of single answers if there are any."""

    name: str
    score: float
    values: Sequence[Value] | None = None
    """[answers] value of each; None if the metric has only one number for all."""
    is_mean: bool = True
    """True if the score is the mean of the values that are not None."""


def is_greater_better(name: str) -> bool:
    """Return True if a greater value of a metric is better.

    This holds for all metrics but losses, whose names end with `loss`, as in transformers, or with `nll`.

    Args:
        name: Name of the metric, with or without the suffix of a setting.
    """
    return not name.partition("/")[0].endswith(("loss", "nll"))


def best_of(measures: Sequence[Measure], greater_is_better: bool) -> Measure:
    """Return the measure with the greatest or the least score; among equal ones the first."""
    choose = max if greater_is_better else min
    return choose(measures, key=lambda measure: measure.score)
