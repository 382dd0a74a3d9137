"""The loss over target tokens from logits, with entropy and accuracy, as sums.

This is the exact path for any model: its logits are its own work. `fused_loss` says the same without making them all.
"""

import torch
from torch import Tensor

from sft_core.modeling.fused_loss import TargetLoss, add_up
from sft_core.modeling.metrics import TokenSums
from sft_core.modeling.objective import LIKELIHOOD, Objective

ROWS_AT_A_TIME = 64


def sum_over_targets(
    logits: Tensor, targets: Tensor, weights: Tensor | None = None, objective: Objective = LIKELIHOOD
) -> TargetLoss:
    """Sum loss, entropy and hits over targets; the formulas are those of `fused_loss`, all in float32.

    Args:
        logits: [targets, vocabulary]
        targets: [targets]
        weights: [targets] w of each; None where all are 1.
        objective: What is minimized.

    Returns:
        The summed loss with gradient (a zero that is connected to the graph if there is no target), the loss of each
        target and whether it was hit, and the sums.
    """
    logits = logits.float()
    log_total = torch.logsumexp(logits, dim=-1)
    nll = log_total - logits.gather(-1, targets[:, None]).squeeze(-1)
    losses = nll if objective.loss_type == "nll" else nll * torch.exp(-nll.detach())
    if objective.label_smoothing:
        losses = torch.lerp(nll, log_total - logits.mean(-1), objective.label_smoothing)
    losses = losses if weights is None else losses * weights
    with torch.no_grad():
        entropy = log_total - _expected_logits(logits, log_total)
        hits = logits.argmax(-1) == targets
        sums = add_up(losses, nll, entropy, hits, weights)
    return TargetLoss(losses.sum(), losses.detach(), hits, sums)


def _expected_logits(logits: Tensor, log_total: Tensor) -> Tensor:
    """Σ p·z of each row, a few rows at a time: the products of all of them would be twice the logits' memory."""
    pairs = zip(torch.split(logits, ROWS_AT_A_TIME), torch.split(log_total, ROWS_AT_A_TIME), strict=True)
    return torch.cat([(torch.exp(part - total[:, None]) * part).sum(-1) for part, total in pairs])


def as_token_sums(sums: Tensor) -> TokenSums:
    """Bring sums [NUM_SUMS] from the device."""
    return TokenSums(*sums.tolist())
