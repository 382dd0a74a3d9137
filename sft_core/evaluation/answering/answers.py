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
