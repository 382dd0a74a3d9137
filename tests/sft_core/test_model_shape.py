"""A model is measured without its weights."""

import pytest
from transformers import PreTrainedTokenizerFast

from sft_core.errors import RecipeError
from sft_core.file_digests import FileDigests
from sft_core.model import ModelConfig, locate_model
from sft_core.model_shape import measure_model
from sft_core.modeling import load_model

CONFIGS = [
    {
        "model_type": "llama",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
    },
    {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 2},
]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config["model_type"])
def test_the_count_is_that_of_the_real_model(
    config: dict[str, object], tokenizer: PreTrainedTokenizerFast, file_digests: FileDigests
) -> None:
    ref = locate_model(ModelConfig(init="config", config=config, tokenizer="x"), file_digests)
    shape, model = measure_model(ref, tokenizer), load_model(ref, tokenizer, seed=0)
    assert shape.num_parameters == sum(parameter.numel() for parameter in model.parameters())
    assert (shape.hidden_size, shape.vocab_size, shape.bytes_per_parameter) == (32, len(tokenizer), 4)


def test_a_model_type_that_nobody_knows_is_a_mistake(
    tokenizer: PreTrainedTokenizerFast, file_digests: FileDigests
) -> None:
    ref = locate_model(ModelConfig(init="config", config={"model_type": "nothing"}, tokenizer="x"), file_digests)
    with pytest.raises(RecipeError, match="cannot build a causal language model"):
        measure_model(ref, tokenizer)
