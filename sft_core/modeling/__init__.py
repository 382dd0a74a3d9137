"""What training and evaluation share: weights, batches, and the loss over target tokens."""

from sft_core.modeling.attention import Attention, attention_over_rows
from sft_core.modeling.batches import Block, Blocks, Collator
from sft_core.modeling.isolation import check_isolation, isolated_attention
from sft_core.modeling.segments import sum_by_segment, sum_by_source
from sft_core.modeling.token_sums import (
    as_token_sums,
    evaluate_batches,
    forward_at_targets,
    sum_over_targets,
    weights_at_targets,
)
from sft_core.modeling.weights import config_of, load_model, load_trained

__all__ = [
    "Attention",
    "Block",
    "Blocks",
    "Collator",
    "as_token_sums",
    "attention_over_rows",
    "check_isolation",
    "config_of",
    "evaluate_batches",
    "forward_at_targets",
    "isolated_attention",
    "load_model",
    "load_trained",
    "sum_by_segment",
    "sum_by_source",
    "sum_over_targets",
    "weights_at_targets",
]
