"""Choice of the weights that are trained: all of a model, some parts, the last layers, or an adapter."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from sft_core.errors import RecipeError
from sft_core.modeling.adapters import add_adapter
from sft_core.modeling.freezing import ALL, freeze_layers, freeze_parts
from sft_core.modeling.model_parts import ModelPart


def choose_trained(
    model: PreTrainedModel,
    peft: Mapping[str, Any],
    num_layers_unfrozen: int = ALL,
    seed: int = 0,
    new_token_ids: Sequence[int] = (),
    is_quantized: bool = False,
    freeze: Sequence[ModelPart] = (),
) -> Any:
    """Freeze all weights that the recipe does not train, and add its adapter.

    Args:
        model: A model from `load_model`; it is changed in place.
        peft: The recipe's `training.peft`; empty: no adapter.
        num_layers_unfrozen: Without an adapter: number of last layers to train; −1: everything.
        seed: Seed of an adapter's random weights.
        new_token_ids: Tokens that were added to the vocabulary, which must not stay untrained.
        is_quantized: Whether the base model is quantized, or will be when it is loaded.
        freeze: Without an adapter: parts of a vision-language model that are not trained.

    Returns:
        The model, wrapped in a `PeftModel` if there is an adapter.

    Raises:
        RecipeError: if these settings do not fit the model or each other.
    """
    if peft:
        return add_adapter(model, peft, seed, new_token_ids)
    if is_quantized:
        raise RecipeError(
            "model.model_init_kwargs.quantization_config: quantized weights cannot be trained themselves; add an "
            "adapter, for example training.peft: {peft_type: LORA}"
        )
    if new_token_ids and num_layers_unfrozen != ALL:
        raise RecipeError(
            f"training.num_layers_unfrozen: {num_layers_unfrozen} freezes the embeddings, so that "
            "model.additional_special_tokens would stay untrained; set it to -1, or use training.peft"
        )
    if new_token_ids and "language" in freeze:
        raise RecipeError(
            "training.freeze: language freezes the embeddings, so that model.additional_special_tokens would stay "
            "untrained; leave one of them out"
        )
    freeze_parts(model, freeze)
    freeze_layers(model, num_layers_unfrozen)
    return model


def count_trained(model: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def let_gradients_in(model: Any, gradient_checkpointing_kwargs: Mapping[str, Any] | None) -> None:
    """Make the output of frozen embeddings require gradients, if gradient checkpointing is re-entrant.

    Re-entrant checkpoints compute gradients of a block only if its input requires them; the other kind needs nothing.
    """
    if (gradient_checkpointing_kwargs or {}).get("use_reentrant"):
        model.enable_input_require_grads()
