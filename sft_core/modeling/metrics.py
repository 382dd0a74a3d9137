"""Metrics over tokens, kept as sums and counts, so that no mean of means can arise.

The sums of two parts add up to the sums of the whole, so metrics do not depend on how tokens were batched, accumulated
or distributed over processes.
"""

import math
from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class TokenSums:
    """Sums over target tokens."""

    loss: float = 0.0
    """Sum of the training loss: weight × -log p(target) in nats, with `dft` weight × p(target) × -log p(target)."""
    entropy: float = 0.0
    """Sum of the entropies of the predicted distributions, in nats."""
    correct: float = 0.0
    """Number of targets that are the most likely token."""
    targets: float = 0.0
    """Number of targets."""
    weight: float = 0.0
    """Sum of the targets' weights, which are 1 unless the data has weights."""
    nll: float = 0.0
    """Sum of -log p(target) in nats, without weights."""

    def __add__(self, other: Self) -> "TokenSums":
        return TokenSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def means(self, prefix: str = "", is_likelihood: bool = True) -> dict[str, float]:
        """Return the metrics under TRL's names; NaN if there was no target.

        Args:
            prefix: Prefix of the names.
            is_likelihood: Whether the training loss, a weighted mean, is the negative log-likelihood; if not, `nll` is
                added.
        """
        count = self.targets or math.nan
        nll = {} if is_likelihood else {f"{prefix}nll": self.nll / count}
        return {
            f"{prefix}loss": self.loss / (self.weight or math.nan),
            f"{prefix}entropy": self.entropy / count,
            f"{prefix}mean_token_accuracy": self.correct / count,
            **nll,
        }
