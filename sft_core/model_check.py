"""What a recipe asks of its model, checked before any data work: names, fields, and whether they fit together.

No weight is read: the model is built without memory, and what is to be trained is chosen in it.
"""

from sft_core.model import ModelRef
from sft_core.model_shape import measure_model
from sft_core.recipe import Recipe
from sft_core.tokenizer import TokenizerRef, load_tokenizer


def check_model(recipe: Recipe, model: ModelRef, tokenizer: TokenizerRef) -> None:
    """Check adapters, frozen layers, quantization and new tokens; a recipe without any of them costs nothing.

    Raises:
        RecipeError: naming the field, what was expected and what was found.
    """
    training = recipe.training
    if not (training.peft or training.num_layers_unfrozen >= 0 or model.changes_what_is_loaded):
        return
    from sft_core.modeling.adapters import check_adapter
    from sft_core.modeling.quantization import quantization_of

    quantization_of(model.model_init_kwargs)
    if training.peft:
        is_packed = recipe.packing.packs("train") or recipe.packing.packs("eval")
        check_adapter(training.peft, is_packed, training.gradient_checkpointing)
    measure_model(model, load_tokenizer(tokenizer), training)
