"""A model is measured without its weights."""

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from sft_core.errors import RecipeError
from sft_core.modeling import load_model
from sft_core.pretrained.model import ModelConfig, locate_model
from sft_core.recipe.model_shape import measure_model
from sft_core.store.file_digests import FileDigests
from sft_core.training import TrainingConfig

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


@pytest.mark.parametrize(
    ("training", "trained"),
    [
        (TrainingConfig(), None),
        (TrainingConfig(peft={"peft_type": "LORA", "r": 4}), 3 * 2 * (4 * 32 + 4 * 32)),
        (TrainingConfig(num_layers_unfrozen=0), 32),
    ],
)
def test_what_is_trained_is_counted(
    training: TrainingConfig, trained: int | None, tokenizer: PreTrainedTokenizerFast, file_digests: FileDigests
) -> None:
    ref = locate_model(ModelConfig(init="config", config=CONFIGS[0], tokenizer="x"), file_digests)
    shape = measure_model(ref, tokenizer, training)
    assert shape.num_trained_parameters == (trained or shape.num_parameters)
    assert shape.num_parameters == measure_model(ref, tokenizer).num_parameters, "an adapter is not the model's"
    assert (shape.weight_bytes, shape.max_positions) == (4 * shape.num_parameters, 2048)


def test_a_base_in_four_bits_is_smaller_by_its_matrices(
    tokenizer: PreTrainedTokenizerFast, file_digests: FileDigests, tmp_path: Path
) -> None:
    load_model(
        locate_model(ModelConfig(init="config", config=CONFIGS[0], tokenizer="x"), file_digests), tokenizer, seed=0
    ).save_pretrained(tmp_path)
    four_bits = {"quantization_config": {"load_in_4bit": True}}
    ref = locate_model(ModelConfig(path=str(tmp_path), model_init_kwargs=four_bits), file_digests)
    shape = measure_model(ref, tokenizer, TrainingConfig(peft={"peft_type": "LORA"}))
    matrices = 3 * (4 * 32 * 32 + 3 * 32 * 64)
    assert shape.weight_bytes == matrices // 2 + 4 * (shape.num_parameters - matrices)
