"""Numbers over tokens, kept as sums and counts, so that no mean of means can arise.

Adding the sums of any two parts gives the sums of the whole: what is reported does not depend on how tokens were
batched, accumulated or spread over processes.
"""

import math
from dataclasses import dataclass, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class TokenSums:
    """Sums over target tokens."""

    loss: float = 0.0
    """What is trained: of weight × -log p(target), in nats, with `dft` of weight × p(target) × -log p(target)."""
    entropy: float = 0.0
    """Of the entropy of the predicted distribution, in nats."""
    correct: float = 0.0
    """Targets that are the most likely token."""
    targets: float = 0.0
    weight: float = 0.0
    """Of the targets' weights; where the data gives none, each is 1."""
    nll: float = 0.0
    """Of -log p(target) in nats, each target counted once."""

    def __add__(self, other: Self) -> "TokenSums":
        return TokenSums(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def means(self, prefix: str = "", is_likelihood: bool = True) -> dict[str, float]:
        """The metrics by TRL's names; NaN where there was no target. The loss is the weighted mean that is trained;
        where that is not the negative log-likelihood, `nll` is told as well."""
        count = self.targets or math.nan
        nll = {} if is_likelihood else {f"{prefix}nll": self.nll / count}
        return {
            f"{prefix}loss": self.loss / (self.weight or math.nan),
            f"{prefix}entropy": self.entropy / count,
            f"{prefix}mean_token_accuracy": self.correct / count,
            **nll,
        }
