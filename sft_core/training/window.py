"""What is counted since the last line of metrics, and since the start of the training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sft_core.modeling import LIKELIHOOD, NUM_SUMS, Objective, as_token_sums, loss_by_source

if TYPE_CHECKING:
    from accelerate import Accelerator

NUM_COUNTS = 4
"""Tokens, pairs of tokens, the sum of the router's loss, and the micro-batches that had one."""


@dataclass(frozen=True, slots=True)
class Line:
    """What was counted for one line."""

    metrics: dict[str, float]
    num_tokens: float
    """Of all processes, without padding."""
    num_pairs: float
    """Of tokens of which one attends to the other."""


class Window:
    """Sums over the micro-batches of this process since the last line, kept on the device so that counting never waits
    for it. All of them lie in one tensor, so that a checkpoint holds them exactly."""

    def __init__(self, device: torch.device, sources: Sequence[str] = (), objective: Objective = LIKELIHOOD) -> None:
        self.num_tokens = 0
        """Tokens seen by all processes since the start, without padding."""
        self.sources = tuple(sources) if len(sources) > 1 else ()
        """Whose losses are told apart; a single one has no loss of its own."""
        self._objective = objective
        self._sums = torch.zeros(NUM_SUMS + NUM_COUNTS + 2 * len(self.sources), dtype=torch.float64, device=device)

    def add(
        self, sums: Tensor, num_tokens: Tensor, num_pairs: Tensor, by_source: Tensor, aux_loss: Tensor | None = None
    ) -> None:
        """Count a micro-batch.

        Args:
            sums: [NUM_SUMS] as `supervise` gives them.
            num_tokens: [blocks] of each block, without padding.
            num_pairs: [blocks] of each block.
            by_source: [2, sources] as `sum_by_source` gives them.
            aux_loss: The router's loss, a scalar, where the model has one.
        """
        aux = sums.new_zeros(2) if aux_loss is None else torch.stack([aux_loss.detach().double(), sums.new_ones(())])
        counts = torch.stack([num_tokens.sum(), num_pairs.sum()]).double()
        self._sums += torch.cat([sums, counts, aux, by_source.flatten()])

    def drain(self, accelerator: "Accelerator") -> Line:
        """Return what was counted since the last line, over all processes, and begin the next."""
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
        """All that this process has counted, in values that JSON keeps to the last bit."""
        return {"num_tokens": self.num_tokens, "sums": self._sums.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on counting from what `state` gave."""
        self.num_tokens = state["num_tokens"]
        self._sums.copy_(torch.tensor(state["sums"], dtype=torch.float64))
