"""From a batch to its loss: the one door for training and evaluation."""

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
    """The loss of one batch."""

    loss: Tensor
    """Summed over targets, a scalar with gradient."""
    target_losses: Tensor
    """[targets] float32, detached: what each target adds to `loss`, ordered as `labels[:, 1:]` without the −100."""
    target_hits: Tensor
    """[targets] bool in the same order: whether the target is the most likely token."""
    weights: Tensor | None
    """[targets] in the same order; None where all are 1."""
    sums: Tensor
    """[NUM_SUMS] float64, detached."""
    aux_loss: Tensor | None
    """The router's loss, a scalar with gradient, where it was asked for."""


def supervise(
    model: nn.Module, head: Head, batch: Batch, objective: Objective = LIKELIHOOD, with_router: bool = False
) -> Supervised:
    """Run the model on a batch and sum the loss over its targets.

    Of 4,096 positions and 50,000 tokens of vocabulary, logits in float32 are 800 MB; prompts, padding and the ends of
    documents need none of them, and the others are made a chunk at a time.

    Args:
        model: As it is trained, perhaps wrapped for several processes.
        head: Its output projection.
        batch: As the collator makes it; `labels` [rows, tokens] are −100 where there is no target.
        objective: What is minimized.
        with_router: Whether to ask a mixture of experts for its auxiliary loss.

    Raises:
        RecipeError: if the model has no auxiliary loss to give.
    """
    inputs = _model_inputs(batch)
    if with_router:
        inputs["output_router_logits"] = True
    targets = _targets(batch)
    found, outputs = head.run(model, inputs, targets, objective)
    aux_loss = getattr(outputs, "aux_loss", None) if with_router else None
    if with_router and aux_loss is None:
        raise RecipeError("training.router_aux_loss_coef: the model gives no auxiliary loss; leave the field out, or 0")
    return Supervised(found.loss, found.target_losses, found.target_hits, targets.weights, found.sums, aux_loss)


def measure_head(model: nn.Module, batch: Batch) -> Head:
    """Find the model's head, and what the model does to its output, on two tokens of a batch; see `Head.measure`."""
    return Head.measure(model, _model_inputs(batch))


def _model_inputs(batch: Batch) -> Batch:
    return {name: part for name, part in batch.items() if name not in NOT_FOR_THE_MODEL}


def weights_at_targets(loss_weights: Tensor | None, labels: Tensor) -> Tensor | None:
    """The weights [targets] of the tokens that are targets, where the data has weights [blocks, tokens]."""
    return None if loss_weights is None else loss_weights[:, 1:][labels[:, 1:] != IGNORED_LABEL]


def _targets(batch: Batch) -> Targets:
    """A position predicts the next position's label; the last predicts nothing."""
    following = nn.functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED_LABEL)
    predicts = following != IGNORED_LABEL
    return Targets(predicts, following[predicts], weights_at_targets(batch.get("loss_weights"), batch["labels"]))


def router_aux_loss_coef(model: "PreTrainedModel", asked: float | None) -> float:
    """The factor of the router's loss: as asked, else the model's own; 0 where the model has no router.

    Raises:
        RecipeError: if a factor is asked for and the model has no router.
    """
    config = model.config.get_text_config()
    has_router = hasattr(config, "output_router_logits")
    if asked is not None and not has_router:
        raise RecipeError(
            f"training.router_aux_loss_coef: expected a mixture of experts, found {type(model).__name__}, which has no "
            "router; leave the field out"
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
    """Sum −log p and the other numbers over batches; meanwhile the model is in evaluation mode.

    Args:
        model: It is left in the mode that it was in.
        batches: As the collator makes them.
        device: Of the model.
        num_sources: Of how many sources the losses are summed apart.
        head: The model's, where it has been measured.
        tell: Gets of each batch the sums of its segments [4, segments] float64, on the device: weighted loss, weight,
            hits and targets.

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
