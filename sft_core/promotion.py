"""The registry section of the recipe, and when a new version becomes champion: a decision over plain numbers."""

import math
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from sft_core.section import Section

CHAMPION = "champion"


class GateConfig(Section):
    """What a version needs for the alias `champion`."""

    metric: str = "eval_loss"
    """A number of the scorecard."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """Whether less or more of it is better."""
    threshold: float | None = None
    """The metric has to be at least this good."""
    min_gain: float = Field(default=0.0, ge=0)
    """By how much it has to beat the present champion on the same held-out data; a tie keeps the champion."""


class RegistryConfig(Section):
    """Where the model is registered."""

    model_name: str | None = Field(default=None, pattern=r"^[^/:.%\"']+$")
    """In MLflow's registry; by default the recipe's name."""
    experiment: str = "sft"
    """MLflow experiment of the run."""
    gate: GateConfig = GateConfig()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a version becomes champion, and why, in words with the numbers."""

    is_promoted: bool
    reason: str


def decide(gate: GateConfig, score: float | None, champion_score: float | None, has_champion: bool) -> Verdict:
    """Apply the gate.

    Args:
        gate: The rule.
        score: The new version's metric; None if the scorecard lacks it.
        champion_score: The champion's, on the same held-out data; None if it was not measured on it.
        has_champion: Whether there is one.
    """
    if score is None or not math.isfinite(score):
        return Verdict(False, f"{gate.metric} is {'missing' if score is None else score}: nothing to promote on")
    sign = 1.0 if gate.direction == "maximize" else -1.0
    if gate.threshold is not None and sign * (score - gate.threshold) < 0:
        return Verdict(False, f"{gate.metric} {score:.6g} misses the threshold {gate.threshold:.6g} ({gate.direction})")
    if not has_champion:
        return Verdict(True, f"{gate.metric} {score:.6g}; there was no champion")
    if champion_score is None or not math.isfinite(champion_score):
        return Verdict(
            False,
            f"{gate.metric} {score:.6g}; the champion was not measured on this held-out data, so nothing can be "
            "compared",
        )
    gain = sign * (score - champion_score)
    numbers = (
        f"{gate.metric} {score:.6g} against the champion's {champion_score:.6g} "
        f"(gain {gain:.6g}, needed more than {gate.min_gain:.6g})"
    )
    return Verdict(gain > gate.min_gain, numbers)
