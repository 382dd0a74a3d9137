"""Check a recipe's settings of its model before any data work: names, fields, and whether they fit together.

No weights are read: the model is built on the meta device, and the trained parts are chosen in it.
"""

from sft_core.errors import RecipeError
from sft_core.pretrained.model import ModelConfig, ModelRef
from sft_core.pretrained.tokenizer import TokenizerRef, load_tokenizer, locate_tokenizer
from sft_core.recipe import Recipe
from sft_core.recipe.model_shape import measure_model
from sft_core.store.file_digests import FileDigests


def check_tokenizer(config: ModelConfig, tokenizer: TokenizerRef, digests: FileDigests) -> None:
    """Compare a tokenizer that the recipe names with the one stored with the pretrained weights, if there is one.

    Raises:
        RecipeError: if a token has different ids in the two: the model would take it for another token.
    """
    if config.tokenizer is None or config.path is None or config.init == "config":
        return
    alone = {"tokenizer": None, "tokenizer_revision": None, "additional_special_tokens": ()}
    try:
        own = load_tokenizer(locate_tokenizer(config.model_copy(update=alone), digests)).get_vocab()
    except RecipeError:  # the weights have no tokenizer of their own, so there is nothing to compare
        return
    given = load_tokenizer(tokenizer).get_vocab()
    moved = sorted(token for token in given.keys() & own.keys() if given[token] != own[token])
    if moved:
        raise RecipeError(
            f"model.tokenizer: {len(moved):,} tokens have other ids than in the tokenizer stored with the model, "
            f"for example '{moved[0]}': {given[moved[0]]} instead of {own[moved[0]]}; they do not belong together"
        )


def check_model(recipe: Recipe, model: ModelRef, tokenizer: TokenizerRef, digests: FileDigests) -> None:
    """Check tokenizer, adapters, frozen layers and parts, quantization and new tokens.

    A recipe that uses none of them returns at once.

    Raises:
        RecipeError: if a check fails; the message names the field, what was expected and what was found.
    """
    check_tokenizer(recipe.model, tokenizer, digests)
    training = recipe.training
    if not (training.peft or training.num_layers_unfrozen >= 0 or training.freeze or model.changes_what_is_loaded):
        return
    from sft_core.modeling.adapters import check_adapter
    from sft_core.modeling.quantization import quantization_of

    quantization_of(model.model_init_kwargs)
    if training.peft:
        is_packed = recipe.packing.packs("train") or recipe.packing.packs("eval")
        is_padding_free = bool(training.padding_free) or recipe.model.attn_implementation == "varlen"
        check_adapter(training.peft, is_packed, training.gradient_checkpointing, is_padding_free)
    measure_model(model, load_tokenizer(tokenizer), training)
