"""What training and evaluation share: weights, batches, and the loss over target tokens."""

from sft_core.modeling.batches import NO_BLOCK, Block, Blocks, Collator
from sft_core.modeling.token_sums import (
    as_token_sums,
    evaluate_batches,
    forward_at_targets,
    sum_over_targets,
    weights_at_targets,
)
from sft_core.modeling.weights import config_of, load_model, load_trained

__all__ = [
    "NO_BLOCK",
    "Block",
    "Blocks",
    "Collator",
    "as_token_sums",
    "config_of",
    "evaluate_batches",
    "forward_at_targets",
    "load_model",
    "load_trained",
    "sum_over_targets",
    "weights_at_targets",
]
