"""The nouns of scoring: answers, and what is measured of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Value = float | bool | None
"""Of one answer; None where the metric says nothing about it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """Answers to prompts; every list has one entry a prompt."""

    prompts: list[str]
    outputs: list[str]
    references: list[str]
    metadata: dict[str, list[Any]]
    """Columns of the prompts' rows."""

    @property
    def samples(self) -> list[str]:
        """Prompts continued by their answers."""
        return [prompt + output for prompt, output in zip(self.prompts, self.outputs, strict=True)]


@dataclass(frozen=True, slots=True)
class Measure:
    """One number over all answers."""

    name: str
    score: float
    values: Sequence[Value] | None = None
    """[answers] of each; None where the metric has only the one number."""
    is_mean: bool = True
    """Whether the score is the mean of the values that say something."""
