"""What is counted since the last line of metrics, and since the start of the training."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sft_core.modeling import NUM_SUMS, LossType, as_token_sums

if TYPE_CHECKING:
    from accelerate import Accelerator


class Window:
    """Sums over the micro-batches of this process since the last line, kept on the device so that counting never waits
    for it."""

    def __init__(self, device: torch.device, loss_type: LossType = "nll") -> None:
        self.num_tokens = 0
        """Tokens seen by all processes since the start, without padding."""
        self._loss_type = loss_type
        self._sums = torch.zeros(NUM_SUMS + 1, dtype=torch.float64, device=device)

    def add(self, sums: Tensor, num_tokens: Tensor) -> None:
        """Count a micro-batch.

        Args:
            sums: [NUM_SUMS] as `supervise` gives them.
            num_tokens: [blocks] of each block, without padding.
        """
        self._sums += torch.cat([sums, num_tokens.sum().double().reshape(1)])

    def drain(self, accelerator: "Accelerator") -> dict[str, float]:
        """Return the metrics of a line, over all processes, and begin the next."""
        sums = accelerator.reduce(self._sums.clone())
        self._sums.zero_()
        self.num_tokens += int(sums[NUM_SUMS])
        return {**as_token_sums(sums[:NUM_SUMS]).means(loss_type=self._loss_type), "num_tokens": self.num_tokens}

    def state(self) -> dict[str, Any]:
        """All that this process has counted, in values that JSON keeps to the last bit."""
        return {"num_tokens": self.num_tokens, "sums": self._sums.tolist()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on counting from what `state` gave."""
        self.num_tokens = state["num_tokens"]
        self._sums.copy_(torch.tensor(state["sums"], dtype=torch.float64))
