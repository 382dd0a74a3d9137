"""The loss that keeps the experts of a mixture equally loaded."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from accelerate import Accelerator


class RouterLoss:
    """Adds the router's loss to a step's, and tells its mean over micro-batches since the last line.

    It is a mean over the tokens of a micro-batch; a step's is the mean over its micro-batches and processes, as in TRL.
    """

    def __init__(self, coef: float, device: torch.device) -> None:
        self._coef = coef
        self._sums = torch.zeros(2, dtype=torch.float64, device=device)

    @property
    def is_used(self) -> bool:
        """Whether the model has to be asked for it."""
        return self._coef > 0.0

    def share(self, aux_loss: Tensor, num_micro_batches: int) -> Tensor:
        """Return what a micro-batch adds to the loss of its step; DDP averages over processes."""
        self._sums += torch.stack([aux_loss.detach().double(), aux_loss.new_ones((), dtype=torch.float64)])
        return self._coef * aux_loss / num_micro_batches

    def drain(self, accelerator: "Accelerator") -> dict[str, float]:
        """Return the metric of a line, over all processes, and begin the next; nothing where it is not used."""
        if not self.is_used:
            return {}
        total, count = accelerator.reduce(self._sums.clone()).tolist()
        self._sums.zero_()
        return {"aux_loss": total / count} if count else {}
