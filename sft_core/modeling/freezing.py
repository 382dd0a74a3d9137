"""Freezing of all but the last layers (trlX's `num_layers_unfrozen`), or of parts of a vision-language model.

    4 blocks, 2 unfrozen      embeddings ✗  block 0 ✗  block 1 ✗  block 2 ✓  block 3 ✓  final norm ✓  lm_head ✓

The input embeddings are frozen, and with them an output projection that is tied to them. An untied output projection is
trained, unless no layer is. Learned position embeddings and the final norm are always trained, as in trlX (in which 0,
and any number with tied embeddings, ended in an AttributeError). Layers are those of the language model.
"""

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from sft_core.errors import RecipeError
from sft_core.modeling.model_class import has_vision
from sft_core.modeling.model_parts import ModelPart, parameters_of

ALL = -1


def freeze_layers(model: PreTrainedModel, num_layers_unfrozen: int) -> None:
    """Freeze all layers but the last ones, and the embeddings.

    Args:
        model: The model, changed in place.
        num_layers_unfrozen: Number of last layers to train; 0: none, −1: everything is trained.

    Raises:
        RecipeError: if the model has fewer layers, or nothing is left to train.
    """
    if num_layers_unfrozen == ALL:
        return
    blocks = blocks_of(model)
    if num_layers_unfrozen > len(blocks):
        raise RecipeError(
            f"training.num_layers_unfrozen: {type(model).__name__} has {len(blocks)} layers, found "
            f"{num_layers_unfrozen}; expected at most {len(blocks)}, or -1 to train everything"
        )
    frozen: list[nn.Module] = [*blocks[: len(blocks) - num_layers_unfrozen], model.get_input_embeddings()]
    if num_layers_unfrozen == 0:
        frozen.append(model.get_output_embeddings())
    for module in frozen:
        module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError(
            f"training.num_layers_unfrozen: {num_layers_unfrozen} leaves nothing of {type(model).__name__} to train; "
            "expected at least 1, or -1 to train everything"
        )


def freeze_parts(model: PreTrainedModel, freeze: Sequence[ModelPart]) -> None:
    """Freeze parts of a vision-language model.

    Args:
        model: The model, changed in place.
        freeze: Names of the parts.

    Raises:
        RecipeError: if the model has no such parts, or nothing is left to train.
    """
    if not freeze:
        return
    if not has_vision(model.config):
        raise RecipeError(
            f"training.freeze: {', '.join(freeze)} are parts of a vision-language model, found {type(model).__name__}; "
            "remove the field"
        )
    for parameter in parameters_of(model, freeze):
        parameter.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise RecipeError(
            f"training.freeze: nothing of {type(model).__name__} is left to train without {', '.join(freeze)}; "
            "remove one of them"
        )


def blocks_of(model: PreTrainedModel) -> nn.ModuleList:
    """Return the model's layers, first to last: the outermost `ModuleList` whose length is `num_hidden_layers`.

    Raises:
        RecipeError: if there is no such list.
    """
    num_layers = model.config.get_text_config().num_hidden_layers
    for module in model.get_decoder().modules():
        if isinstance(module, nn.ModuleList) and len(module) == num_layers:
            return module
    raise RecipeError(
        f"training.num_layers_unfrozen: {type(model).__name__} does not keep its {num_layers} layers in one list, so "
        "that the last ones cannot be identified; set it to -1"
    )
