"""What is counted since the last line of metrics, and since the start of the training."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sft_core.modeling import as_token_sums

if TYPE_CHECKING:
    from accelerate import Accelerator

NUM_SUMS = 7
"""Loss, entropy, hits, targets, weight; tokens; pairs of tokens."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was counted for one line of metrics, over all processes."""

    metrics: dict[str, float]
    num_tokens: float
    """Without padding."""
    num_pairs: float
    """Of tokens of which one attends to the other: L (L + 1) / 2 for a document of L tokens."""


class Window:
    """Sums over the micro-batches of this process since the last line, kept on the device so that counting never waits
    for it. All of them lie in one tensor, so that a checkpoint holds them exactly."""

    def __init__(self, device: torch.device, sources: Sequence[str] = ()) -> None:
        self.num_tokens = 0
        """Tokens seen by all processes since the start, without padding."""
        self.sources = tuple(sources) if len(sources) > 1 else ()
        """Whose losses are told apart; a single one has no loss of its own."""
        self._sums = torch.zeros(NUM_SUMS + 2 * len(self.sources), dtype=torch.float64, device=device)

    def add(self, sums: Tensor, num_tokens: Tensor, num_pairs: Tensor, by_source: Tensor) -> None:
        """Count a micro-batch.

        Args:
            sums: [5] as `sum_over_targets` gives them.
            num_tokens: [blocks] of each block, without padding.
            num_pairs: [blocks] of each block.
            by_source: [2, sources] as `sum_by_source` gives them.
        """
        counts = torch.stack([num_tokens.sum(), num_pairs.sum()]).double()
        self._sums += torch.cat([sums, counts, by_source.flatten()])

    def drain(self, accelerator: "Accelerator") -> Line:
        """Return what was counted since the last line, over all processes, and begin the next."""
        sums = accelerator.reduce(self._sums.clone())
        self._sums.zero_()
        num_tokens, num_pairs = sums[5:NUM_SUMS].tolist()
        self.num_tokens += int(num_tokens)
        means = {**as_token_sums(sums[:5]).means(), "num_tokens": self.num_tokens}
        return Line({**means, **loss_by_source(sums[NUM_SUMS:], self.sources)}, num_tokens, num_pairs)


def loss_by_source(sums: Tensor, sources: Sequence[str], prefix: str = "") -> dict[str, float]:
    """The mean loss of each source that had a target, by metrics' names: `loss/gsm8k`.

    Args:
        sums: [2 × sources] weighted losses, then weights.
        sources: Their names.
        prefix: Of the metrics' names.
    """
    losses, weights = sums.reshape(2, len(sources)).tolist()
    return {
        f"{prefix}loss/{_metric_name(source)}": loss / weight
        for source, loss, weight in zip(sources, losses, weights, strict=True)
        if weight
    }


def _metric_name(source: str) -> str:
    """What trackers take: MLflow refuses most punctuation."""
    return re.sub(r"[^\w.\- ]", "_", source)
