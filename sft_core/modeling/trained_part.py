"""What of a model is trained: all of it, some of its parts, its last layers, or an adapter."""

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
    """Leave trainable what the recipe says.

    Args:
        model: As `load_model` gives it; it is changed in place.
        peft: The recipe's `training.peft`; empty: no adapter.
        num_layers_unfrozen: Without an adapter: the last blocks to train; −1: everything.
        seed: Of an adapter's random weights.
        new_token_ids: Tokens that were added to the vocabulary, which must not stay untrained.
        is_quantized: Whether the base is, or will be where it is loaded.
        freeze: Without an adapter: parts of a vision-language model that are not trained.

    Returns:
        The model, inside a `PeftModel` where there is an adapter.

    Raises:
        RecipeError: if that does not fit the model.
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
    """Parameters that are trained."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def let_gradients_in(model: Any, gradient_checkpointing_kwargs: Mapping[str, Any] | None) -> None:
    """With re-entrant checkpoints, whose blocks get a gradient only if their input asks for one, let the frozen
    embeddings' output ask; the other kind needs nothing."""
    if (gradient_checkpointing_kwargs or {}).get("use_reentrant"):
        model.enable_input_require_grads()
