"""trlX's `num_layers_unfrozen`, where trlX crashes too."""

from typing import Any

import pytest

from sft_core.errors import RecipeError
from sft_core.modeling import choose_trained, count_trained

from .tiny_models import GPT2, LLAMA, tiny_model

NORM = {"model.norm.weight"}
EMBEDDINGS, HEAD = {"model.embed_tokens.weight"}, {"lm_head.weight"}


def trained_names(num_layers_unfrozen: int, config: dict[str, Any] = LLAMA, **changes: Any) -> set[str]:
    """Trained parameters; of a block just its name."""
    model = choose_trained(tiny_model(config, **changes), {}, num_layers_unfrozen)
    names = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {".".join(name.split(".")[:3]) if ".layers." in name or ".h." in name else name for name in names}


@pytest.mark.parametrize(
    ("number", "is_tied", "expected"),
    [
        (-1, False, {"model.layers.0", "model.layers.1"} | NORM | EMBEDDINGS | HEAD),
        (-1, True, {"model.layers.0", "model.layers.1"} | NORM | EMBEDDINGS),
        (0, False, NORM),
        (0, True, NORM),
        (1, False, {"model.layers.1"} | NORM | HEAD),
        (1, True, {"model.layers.1"} | NORM),
        (2, False, {"model.layers.0", "model.layers.1"} | NORM | HEAD),
        (2, True, {"model.layers.0", "model.layers.1"} | NORM),
    ],
)
def test_what_is_trained(number: int, is_tied: bool, expected: set[str]) -> None:
    assert trained_names(number, tie_word_embeddings=is_tied) == expected


def test_learned_positions_stay_trainable() -> None:
    final = {"transformer.ln_f.weight", "transformer.ln_f.bias"}
    assert trained_names(1, GPT2) == {"transformer.h.1", "transformer.wpe.weight"} | final
    assert trained_names(0, GPT2) == {"transformer.wpe.weight"} | final


@pytest.mark.parametrize("is_tied", [False, True])
def test_more_layers_than_there_are_is_a_mistake_with_both_numbers(is_tied: bool) -> None:
    with pytest.raises(RecipeError, match="LlamaForCausalLM has 2 layers, found 3; expected at most 2, or -1"):
        choose_trained(tiny_model(tie_word_embeddings=is_tied), {}, 3)


def test_nothing_left_to_train_is_a_mistake() -> None:
    without_weights_in_norms = {**LLAMA, "model_type": "olmo"}
    assert count_trained(choose_trained(tiny_model(without_weights_in_norms), {}, 1)) > 0
    with pytest.raises(RecipeError, match="0 leaves nothing of OlmoForCausalLM to train"):
        choose_trained(tiny_model(without_weights_in_norms), {}, 0)
