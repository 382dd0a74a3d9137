"""What training and evaluation share: weights, batches, and the loss over target tokens."""

from sft_core.modeling.batches import Block, Blocks, Collator
from sft_core.modeling.fused_loss import NUM_SUMS, LossType
from sft_core.modeling.head import Head
from sft_core.modeling.supervise import (
    Supervised,
    evaluate_batches,
    measure_head,
    router_aux_loss_coef,
    supervise,
    weights_at_targets,
)
from sft_core.modeling.token_sums import as_token_sums
from sft_core.modeling.weights import config_of, load_model, load_trained

__all__ = [
    "NUM_SUMS",
    "Block",
    "Blocks",
    "Collator",
    "Head",
    "LossType",
    "Supervised",
    "as_token_sums",
    "config_of",
    "evaluate_batches",
    "load_model",
    "load_trained",
    "measure_head",
    "router_aux_loss_coef",
    "supervise",
    "weights_at_targets",
]
