"""What training and evaluation share: weights, batches, and the loss over target tokens."""

from sft_core.modeling.batches import NO_BLOCK, Block, Blocks, Collator
from sft_core.modeling.model_folder import deliver_adapter, load_trained
from sft_core.modeling.offloading import offload_activations
from sft_core.modeling.positions import check_positions, longest_text, max_positions
from sft_core.modeling.quantization import is_quantized, to_device
from sft_core.modeling.token_sums import (
    as_token_sums,
    evaluate_batches,
    forward_at_targets,
    sum_over_targets,
    weights_at_targets,
)
from sft_core.modeling.trained_part import choose_trained, count_trained, let_gradients_in
from sft_core.modeling.vocabulary import fit_vocabulary, new_ids
from sft_core.modeling.weights import config_of, load_model

__all__ = [
    "NO_BLOCK",
    "Block",
    "Blocks",
    "Collator",
    "as_token_sums",
    "check_positions",
    "choose_trained",
    "config_of",
    "count_trained",
    "deliver_adapter",
    "evaluate_batches",
    "fit_vocabulary",
    "forward_at_targets",
    "is_quantized",
    "let_gradients_in",
    "load_model",
    "load_trained",
    "longest_text",
    "max_positions",
    "new_ids",
    "offload_activations",
    "sum_over_targets",
    "to_device",
    "weights_at_targets",
]
