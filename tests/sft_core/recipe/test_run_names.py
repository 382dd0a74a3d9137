"""Names of runs: short, telling, and others for other settings."""

from typing import Any

import pytest

from sft_core.pretrained.model import ModelConfig
from sft_core.recipe import Recipe
from sft_core.recipe.run_names import comparison_name, model_label, path_label, run_name, score_name

LLAMA = {"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 128}


def recipe(**sections: Any) -> Recipe:
    content = {"name": "gsm8k", "model": {"path": "HuggingFaceTB/SmolLM2-135M"}, "sources": [{"path": "a.jsonl"}]}
    return Recipe.model_validate({**content, **sections})


def test_a_run_is_called_after_recipe_model_and_settings() -> None:
    recipe_name, model, settings = run_name(recipe()).split(" - ")
    assert (recipe_name, model) == ("gsm8k", "SmolLM2-135M")
    assert len(settings) == 4


def test_other_settings_are_another_name_and_another_place_is_not() -> None:
    assert run_name(recipe(training={"learning_rate": 1e-4})) != run_name(recipe())
    assert run_name(recipe(runtime={"num_processes": 8, "home": "/elsewhere"})) == run_name(recipe())


@pytest.mark.parametrize(
    ("model", "label"),
    [
        ({"path": "Qwen/Qwen2.5-0.5B"}, "Qwen2.5-0.5B"),
        ({"path": "/models/Qwen2.5-0.5B/"}, "Qwen2.5-0.5B"),
        ({"init": "config", "tokenizer": "t", "config": LLAMA}, "llama 2x128"),
        ({"init": "config", "tokenizer": "t", "config": {"model_type": "gpt2", "n_layer": 1, "n_embd": 8}}, "gpt2 1x8"),
        ({"init": "config", "tokenizer": "t", "config": {"model_type": "mamba"}}, "mamba"),
        ({"init": "config", "path": "Qwen/Qwen2.5-0.5B"}, "Qwen2.5-0.5B"),
        ({"path": "x" * 60}, "x" * 37 + "..."),
    ],
    ids=str,
)
def test_a_model_has_the_name_of_its_weights_or_its_shape(model: dict[str, Any], label: str) -> None:
    assert model_label(ModelConfig.model_validate(model)) == label


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("models:/sums/3", "sums/3"),
        ("models:/sums@champion", "sums@champion"),
        ("/home/artifacts/train_model/sums-0f3c/model", "sums-0f3c"),
        ("model", "model"),
        ("./", "./"),
    ],
)
def test_a_model_is_called_by_the_part_of_its_address_that_tells_it_from_others(path: str, label: str) -> None:
    assert path_label(path) == label


def test_evaluations_name_models_and_rows() -> None:
    assert score_name("models:/sums@champion", recipe()) == "sums@champion on gsm8k"
    assert comparison_name("models:/sums/2", "models:/sums/1", recipe()) == "sums/2 against sums/1 on gsm8k"
