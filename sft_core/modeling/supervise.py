"""Computation of the loss of a batch, for training and evaluation alike."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

import torch
from accelerate.utils import send_to_device
from torch import Tensor, nn

from sft_core.errors import RecipeError
from sft_core.modeling.batches import NOT_FOR_THE_MODEL, Batch
from sft_core.modeling.fused_loss import NUM_SUMS
from sft_core.modeling.head import Head, Targets
from sft_core.modeling.objective import LIKELIHOOD, Objective
from sft_core.modeling.segments import count_hits, sum_by_segment, sum_by_source
from sft_core.store.records import IGNORED_LABEL

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Supervised(NamedTuple):
    """Loss of one batch, and the numbers for its metrics."""

    loss: Tensor
    """Sum over targets, a scalar with gradient."""
    target_losses: Tensor
    """[targets] float32, detached: each target's contribution to `loss`, ordered as `labels[:, 1:]` without −100."""
    target_hits: Tensor
    """[targets] bool in the same order: whether the target is the most likely token."""
    weights: Tensor | None
    """[targets] weights in the same order; None if all are 1."""
    sums: Tensor
    """[NUM_SUMS] float64, detached: the sums of `TokenSums`."""
    aux_loss: Tensor | None
    """The router's auxiliary loss, a scalar with gradient; None unless requested."""


def supervise(
    model: nn.Module, head: Head, batch: Batch, objective: Objective = LIKELIHOOD, with_router: bool = False
) -> Supervised:
    """Run the model on a batch and sum the loss over its targets.

    The float32 logits of 4,096 positions and a vocabulary of 50,000 would take 800 MB. None are computed for prompts,
    padding and the ends of documents, and the others are computed in chunks.

    Args:
        model: The model, which may be wrapped for several processes.
        head: The output projection of the model.
        batch: A batch of the collator; `labels` [rows, tokens] are −100 where there is no target.
        objective: The loss per target.
        with_router: Whether to request the auxiliary loss of a mixture of experts.

    Raises:
        RecipeError: if the auxiliary loss is requested and the model returns none.
    """
    inputs = _model_inputs(batch)
    if with_router:
        inputs["output_router_logits"] = True
    targets = _targets(batch)
    found, outputs = head.run(model, inputs, targets, objective)
    aux_loss = getattr(outputs, "aux_loss", None) if with_router else None
    if with_router and aux_loss is None:
        raise RecipeError("training.router_aux_loss_coef: the model returns no auxiliary loss; remove the field")
    return Supervised(found.loss, found.target_losses, found.target_hits, targets.weights, found.sums, aux_loss)


def measure_head(model: nn.Module, batch: Batch) -> Head:
    """Find the model's head and the transform of its logits, by running two tokens of a batch; see `Head.measure`."""
    return Head.measure(model, _model_inputs(batch))


def _model_inputs(batch: Batch) -> Batch:
    return {name: part for name, part in batch.items() if name not in NOT_FOR_THE_MODEL}


def weights_at_targets(loss_weights: Tensor | None, labels: Tensor) -> Tensor | None:
    """Select from weights [blocks, tokens] those of the target tokens, [targets]; None if the data has no weights."""
    return None if loss_weights is None else loss_weights[:, 1:][labels[:, 1:] != IGNORED_LABEL]


def _targets(batch: Batch) -> Targets:
    """Return the targets of a batch: each position predicts the next position's label, the last one nothing."""
    following = nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED_LABEL)
    predicts = following != IGNORED_LABEL
    return Targets(predicts, following[predicts], weights_at_targets(batch.get("loss_weights"), batch["labels"]))


def router_aux_loss_coef(model: "PreTrainedModel", asked: float | None) -> float:
    """Return the factor of the router's loss: the recipe's value `asked`, else the model configuration's; 0 if the
    model has no router.

    Raises:
        RecipeError: if the recipe sets a factor and the model has no router.
    """
    config = model.config.get_text_config()
    has_router = hasattr(config, "output_router_logits")
    if asked is not None and not has_router:
        raise RecipeError(
            f"training.router_aux_loss_coef: expected a mixture of experts, found {type(model).__name__}, which has no "
            "router; remove the field"
        )
    own = getattr(config, "router_aux_loss_coef", None) if has_router else None
    return (own or 0.0) if asked is None else asked


@torch.no_grad()
def evaluate_batches(
    model: "PreTrainedModel",
    batches: Iterable[Batch],
    device: torch.device,
    num_sources: int = 0,
    head: Head | None = None,
    tell: Callable[[Tensor], None] | None = None,
) -> Tensor:
    """Sum −log p and the other metrics over batches, with the model in evaluation mode.

    Args:
        model: The model; its training mode is restored at the end.
        batches: Batches of the collator.
        device: The model's device.
        num_sources: Number of sources whose losses are also summed separately; 0: no such sums.
        head: The model's head, if it has been measured already.
        tell: Called for each batch with the sums of its segments, [4, segments] float64 on the device: weighted loss,
            weight, hits and targets.

    Returns:
        [NUM_SUMS + 2 × sources] float64: loss, entropy, hits, targets, weight and nll; then the loss of each source,
        and the weight of each source.
    """
    was_training = model.training
    model.eval()
    total = torch.zeros(NUM_SUMS + 2 * num_sources, dtype=torch.float64, device=device)
    for batch in batches:
        on_device = send_to_device(batch, device)
        head = head or measure_head(model, on_device)
        found = supervise(model, head, on_device)
        total[:NUM_SUMS] += found.sums
        if not num_sources and tell is None:
            continue
        segments = on_device["segments"]
        by_segment = sum_by_segment(found.target_losses, found.weights, segments["num_targets"])
        total[NUM_SUMS:] += sum_by_source(by_segment, segments["source"], num_sources).flatten()
        if tell is not None:
            tell(torch.cat([by_segment, count_hits(found.target_hits, segments["num_targets"])]))
    model.train(was_training)
    return total
