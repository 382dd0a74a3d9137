"""Loss per target that training minimizes."""

from dataclasses import dataclass
from typing import Literal

LossType = Literal["nll", "dft"]


@dataclass(frozen=True, slots=True)
class Objective:
    """Loss of one target y; p is the softmax of the logits that predict it, V the vocabulary size and ε the smoothing:

        nll    −(1 − ε) log p_y − ε / V · Σ log p_v
        dft    −sg[p_y] log p_y        sg stops the gradient (arXiv 2508.05629)

    Label smoothing is that of transformers' `LabelSmoother` (arXiv 1512.00567).
    """

    loss_type: LossType = "nll"
    label_smoothing: float = 0.0
    """ε, from 0 to 1; only used with `nll`."""

    @property
    def is_likelihood(self) -> bool:
        """True if the loss is −log p_y and nothing else."""
        return self.loss_type == "nll" and self.label_smoothing == 0.0


LIKELIHOOD = Objective()
"""Objective of evaluations."""
