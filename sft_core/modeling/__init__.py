"""Models, batches, and the loss over target tokens, shared by training and evaluation."""

from sft_core.modeling.adapters import base_of, has_virtual_tokens
from sft_core.modeling.attention import Attention, attention_over_rows
from sft_core.modeling.batches import NO_BLOCK, Block, Blocks, Collator, Documents
from sft_core.modeling.fused_loss import NUM_SUMS
from sft_core.modeling.head import Head
from sft_core.modeling.image_positions import ImagePositions
from sft_core.modeling.isolation import check_isolation, isolated_attention, takes_positions
from sft_core.modeling.model_class import auto_class, has_vision
from sft_core.modeling.model_folder import deliver_adapter, load_trained
from sft_core.modeling.objective import LIKELIHOOD, Objective
from sft_core.modeling.offloading import offload_activations
from sft_core.modeling.pixels import PixelMaker
from sft_core.modeling.probe import TOLERANCE, Probe, coarsest, difference, probe_logits, probe_texts
from sft_core.modeling.quantization import is_quantized, to_device
from sft_core.modeling.segments import Segments, loss_by_source, name_of_loss, sum_by_segment, sum_by_source
from sft_core.modeling.supervise import (
    Supervised,
    evaluate_batches,
    measure_head,
    router_aux_loss_coef,
    supervise,
    weights_at_targets,
)
from sft_core.modeling.token_sums import as_token_sums
from sft_core.modeling.trained_part import choose_trained, count_trained, let_gradients_in
from sft_core.modeling.vocabulary import fit_vocabulary, new_ids
from sft_core.modeling.weights import config_of, load_model
from sft_core.pretrained.positions import check_positions, longest_text, max_positions

__all__ = [
    "LIKELIHOOD",
    "NO_BLOCK",
    "NUM_SUMS",
    "TOLERANCE",
    "Attention",
    "Block",
    "Blocks",
    "Collator",
    "Documents",
    "Head",
    "ImagePositions",
    "Objective",
    "PixelMaker",
    "Probe",
    "Segments",
    "Supervised",
    "as_token_sums",
    "attention_over_rows",
    "auto_class",
    "base_of",
    "check_isolation",
    "check_positions",
    "choose_trained",
    "coarsest",
    "config_of",
    "count_trained",
    "deliver_adapter",
    "difference",
    "evaluate_batches",
    "fit_vocabulary",
    "has_virtual_tokens",
    "has_vision",
    "is_quantized",
    "isolated_attention",
    "let_gradients_in",
    "load_model",
    "load_trained",
    "longest_text",
    "loss_by_source",
    "max_positions",
    "measure_head",
    "name_of_loss",
    "new_ids",
    "offload_activations",
    "probe_logits",
    "probe_texts",
    "router_aux_loss_coef",
    "sum_by_segment",
    "sum_by_source",
    "supervise",
    "takes_positions",
    "to_device",
    "weights_at_targets",
]
