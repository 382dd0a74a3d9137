"""Counts since the last line of metrics and since the start of the training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sft_core.modeling import LIKELIHOOD, NUM_SUMS, Objective, as_token_sums, loss_by_source

if TYPE_CHECKING:
    from accelerate import Accelerator

NUM_COUNTS = 4
"""Length of the counts [tokens, pairs of tokens, sum of the router's loss, micro-batches with a router's loss]."""


@dataclass(frozen=True, slots=True)
class Line:
    """Counts of all processes for one line of metrics."""

    metrics: dict[str, float]
    num_tokens: float
    """Number of tokens, without padding."""
    num_pairs: float
    """Number of pairs of tokens of which one attends to the other."""


class Window:
    """Sums over this process's micro-batches since the last line. They are kept on the device in one float64 tensor, so
    that counting never waits for the device, and a checkpoint can save them exactly."""

    def __init__(self, device: torch.device, sources: Sequence[str] = (), objective: Objective = LIKELIHOOD) -> None:
        self.num_tokens = 0
        """Number of tokens that all processes have seen since the start, without padding."""
        self.sources = tuple(sources) if len(sources) > 1 else ()
        """Names of the sources that get a loss each; empty if there is only one."""
        self._objective = objective
        self._sums = torch.zeros(NUM_SUMS + NUM_COUNTS + 2 * len(self.sources), dtype=torch.float64, device=device)

    def add(
        self, sums: Tensor, num_tokens: Tensor, num_pairs: Tensor, by_source: Tensor, aux_loss: Tensor | None = None
    ) -> None:
        """Count a micro-batch.

        Args:
            sums: [NUM_SUMS], as `supervise` returns them.
            num_tokens: [blocks] tokens of each block, without padding.
            num_pairs: [blocks] pairs of tokens, one of which attends to the other, in each block.
            by_source: [2, sources], as `sum_by_source` returns them.
            aux_loss: The router's loss, a scalar; None if the model has no router.
        """
        aux = sums.new_zeros(2) if aux_loss is None else torch.stack([aux_loss.detach().double(), sums.new_ones(())])
        counts = torch.stack([num_tokens.sum(), num_pairs.sum()]).double()
        self._sums += torch.cat([sums, counts, aux, by_source.flatten()])

    def drain(self, accelerator: "Accelerator") -> Line:
        """Return the counts of all processes since the last call, and reset them. Every process has to call this."""
        summed = accelerator.reduce(self._sums.clone())
        self._sums.zero_()
        sums, counts, by_source = summed.split([NUM_SUMS, NUM_COUNTS, 2 * len(self.sources)])
        num_tokens, num_pairs, aux_loss, num_aux = counts.tolist()
        self.num_tokens += int(num_tokens)
        metrics = as_token_sums(sums).means(is_likelihood=self._objective.is_likelihood)
        metrics |= {"aux_loss": aux_loss / num_aux} if num_aux else {}
        metrics |= {"num_tokens": self.num_tokens, **loss_by_source(by_source, self.sources)}
        return Line(metrics, num_tokens, num_pairs)

    def state(self) -> dict[str, Any]:
        """Return all counts of this process, as values that JSON stores exactly."""
        return {"num_tokens": self.num_tokens, "sums": self._sums.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from counts that `state` returned."""
        self.num_tokens = state["num_tokens"]
        self._sums.copy_(torch.tensor(state["sums"], dtype=torch.float64))
