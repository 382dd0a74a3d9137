"""The loss over target tokens, with entropy and accuracy from the same logits, as sums."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import send_to_device
from torch import Tensor

from sft_core.metrics import TokenSums
from sft_core.modeling.segments import sum_by_segment, sum_by_source
from sft_core.records import IGNORED_LABEL

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS_AT_A_TIME = 64


def forward_at_targets(
    model: torch.nn.Module, head: torch.nn.Module, inputs: dict[str, Any], labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Run the model, and its output projection only at the positions that predict a target.

    Of 4,096 positions and 50,000 tokens of vocabulary, full logits in float32 are 800 MB; prompts, padding and the
    ends of documents need none of them. The choice is made in front of the projection, so that whatever a model does
    to its logits (scaling, soft-capping) stays its own.

    Args:
        model: The model as it is trained, perhaps wrapped for several processes.
        head: Its output projection.
        inputs: `input_ids` and `position_ids`, [rows, tokens], and what attention of variable length needs.
        labels: [rows, tokens], −100 where there is no target.

    Returns:
        Logits [targets, vocabulary] and the targets [targets].
    """
    targets = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED_LABEL)
    predicts = targets != IGNORED_LABEL
    hook = head.register_forward_pre_hook(lambda _, hidden: (hidden[0][predicts],))
    try:
        logits: Tensor = model(**inputs, use_cache=False).logits
    finally:
        hook.remove()
    return logits, targets[predicts]


def weights_at_targets(loss_weights: Tensor | None, labels: Tensor) -> Tensor | None:
    """The weights [targets] of the tokens that are targets, where the data has weights [blocks, tokens]."""
    return None if loss_weights is None else loss_weights[:, 1:][labels[:, 1:] != IGNORED_LABEL]


def sum_over_targets(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Sum loss, entropy and hits over targets.

    With z the logits in front of a target y and p = softmax(z): the loss is −w log p_y, the entropy −Σ p log p
    = logsumexp(z) − Σ p·z, and a hit is argmax z = y (of equal logits the lowest id). All in float32.

    Args:
        logits: [targets, vocabulary]
        targets: [targets]
        weights: [targets] w of each; None where all are 1.

    Returns:
        The summed loss, a scalar with gradient (a zero that is connected to the graph if there is no target); the
        detached sums [5]: loss, entropy, hits, targets, weight; and the detached loss of each target [targets],
        without its weight.
    """
    logits = logits.float()
    log_total = torch.logsumexp(logits, dim=-1)
    losses = log_total - logits.gather(-1, targets[:, None]).squeeze(-1)
    loss = losses.sum() if weights is None else (losses * weights).sum()
    with torch.no_grad():
        entropy = log_total.sum(dtype=torch.float64) - _expected_logits(logits, log_total)
        hits = (logits.argmax(-1) == targets).sum()
        count = torch.tensor(len(targets), device=logits.device)
        weight = count if weights is None else weights.sum(dtype=torch.float64)
        sums = torch.stack([part.double() for part in (loss.detach(), entropy, hits, count, weight)])
    return loss, sums, losses.detach()


def _expected_logits(logits: Tensor, log_total: Tensor) -> Tensor:
    """Σ p·z over all rows, a few rows at a time: the products of all of them would be twice the logits' memory."""
    pairs = zip(torch.split(logits, ROWS_AT_A_TIME), torch.split(log_total, ROWS_AT_A_TIME), strict=True)
    return torch.stack(
        [(torch.exp(part - total[:, None]) * part).sum(dtype=torch.float64) for part, total in pairs]
    ).sum()


def as_token_sums(sums: Tensor) -> TokenSums:
    """Bring sums [5] from the device."""
    return TokenSums(*sums.tolist())


@torch.no_grad()
def evaluate_batches(
    model: "PreTrainedModel", batches: Iterable[dict[str, Any]], device: torch.device, num_sources: int = 0
) -> Tensor:
    """Sum over batches; meanwhile the model is in evaluation mode.

    Args:
        model: It is left in the mode that it was in.
        batches: As the collator makes them.
        device: Of the model.
        num_sources: Of how many sources the losses are summed apart.

    Returns:
        [5 + 2 × sources] float64: loss, entropy, hits, targets and weight; then the loss of each source, and the weight
        of each source.
    """
    head = model.get_output_embeddings()
    was_training = model.training
    model.eval()
    total = torch.zeros(5 + 2 * num_sources, dtype=torch.float64, device=device)
    for batch in batches:
        inputs = send_to_device(batch, device)
        labels, segments = inputs.pop("labels"), inputs.pop("segments")
        del inputs["num_tokens"], inputs["num_pairs"]
        weights = weights_at_targets(inputs.pop("loss_weights", None), labels)
        _, sums, losses = sum_over_targets(*forward_at_targets(model, head, inputs, labels), weights)
        by_segment = sum_by_segment(losses, weights, segments["num_targets"])
        total += torch.cat([sums, sum_by_source(by_segment, segments["source"], num_sources).flatten()])
    model.train(was_training)
    return total
