"""Loss over target tokens from logits, with entropy and accuracy, as sums.

This works for any model, with the logits that the model itself computes. `fused_loss` gives the same result without
computing all logits at once.
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
        targets: [targets] token ids.
        weights: [targets] weight of each target; None if all are 1.
        objective: The loss per target.

    Returns:
        The summed loss with gradient (a zero that is connected to the graph if there is no target), the loss of each
        target and whether it is the most likely token, and the sums.
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
    """Return Σ p·z of each row, a few rows at a time: the products of all rows would take twice the logits' memory."""
    pairs = zip(torch.split(logits, ROWS_AT_A_TIME), torch.split(log_total, ROWS_AT_A_TIME), strict=True)
    return torch.cat([(torch.exp(part - total[:, None]) * part).sum(-1) for part, total in pairs])


def as_token_sums(sums: Tensor) -> TokenSums:
    """Copy sums [NUM_SUMS] from the device into `TokenSums`."""
    return TokenSums(*sums.tolist())
