"""What is minimized at each target."""

from dataclasses import dataclass
from typing import Literal

LossType = Literal["nll", "dft"]


@dataclass(frozen=True, slots=True)
class Objective:
    """With p = softmax of the logits in front of a target y, V the size of the vocabulary and ε the label smoothing:

        nll    −(1 − ε) log p_y − ε / V · Σ log p_v
        dft    −sg[p_y] log p_y        sg lets no gradient through (arXiv 2508.05629)

    Smoothing is that of transformers' `LabelSmoother` (arXiv 1512.00567).
    """

    loss_type: LossType = "nll"
    label_smoothing: float = 0.0
    """ε from 0 to 1; of `nll` alone."""

    @property
    def is_likelihood(self) -> bool:
        """Whether it is −log p_y and nothing else."""
        return self.loss_type == "nll" and self.label_smoothing == 0.0


LIKELIHOOD = Objective()
"""What is evaluated."""
