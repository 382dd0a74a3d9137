"""What a recipe asks of its model is checked before any data work."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from sft_core.errors import RecipeError
from sft_core.pretrained.model import locate_model
from sft_core.pretrained.tokenizer import locate_tokenizer
from sft_core.recipe import Recipe
from sft_core.recipe.model_check import check_model
from sft_core.recipe.recipe_file import parse_recipe
from sft_core.store.file_digests import FileDigests

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.fixture
def content(tokenizer_folder: Any) -> dict[str, Any]:
    model = {"init": "config", "config": LLAMA, "tokenizer": str(tokenizer_folder)}
    return {"name": "tiny", "model": model, "sources": [{"path": "nowhere.jsonl"}]}


def check(content: dict[str, Any], digests: FileDigests) -> None:
    recipe = Recipe.model_validate(content)
    check_model(recipe, locate_model(recipe.model, digests), locate_tokenizer(recipe.model, digests), digests)


@pytest.mark.parametrize(
    "training", [{}, {"peft": {"peft_type": "LORA"}}, {"num_layers_unfrozen": 2}, {"peft": {"peft_type": "BOFT"}}]
)
def test_what_fits_passes(content: dict[str, Any], file_digests: FileDigests, training: dict[str, Any]) -> None:
    check({**content, "training": training}, file_digests)


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"peft": {"peft_type": "LORRA"}}, "did you mean 'LORA'"),
        (
            {"peft": {"peft_type": "LORA", "target_modules": ["nothing"]}},
            "are named q_proj, k_proj, v_proj, o_proj, gate_proj",
        ),
        ({"peft": {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2}}, "gradient_checkpointing to false"),
        ({"num_layers_unfrozen": 3}, "LlamaForCausalLM has 2 layers, found 3"),
    ],
)
def test_what_does_not_fit_is_told(
    content: dict[str, Any], file_digests: FileDigests, training: dict[str, Any], message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        check({**content, "training": training}, file_digests)


@pytest.mark.parametrize("packing", [{"packing": True}, {"eval_packing": True}])
def test_virtual_tokens_in_packed_blocks_are_told(
    content: dict[str, Any], file_digests: FileDigests, packing: dict[str, Any]
) -> None:
    prompt = {"peft": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}}
    check({**content, "training": prompt}, file_digests)
    with pytest.raises(RecipeError, match="many texts in one row"):
        check({**content, "training": prompt, "packing": packing}, file_digests)


def test_new_tokens_are_checked(content: dict[str, Any], file_digests: FileDigests) -> None:
    model = {**content["model"], "additional_special_tokens": ["<think>"]}
    check({**content, "model": model}, file_digests)
    with pytest.raises(RecipeError, match="freezes the embeddings"):
        check({**content, "model": model, "training": {"num_layers_unfrozen": 1}}, file_digests)
    known = {**content["model"], "additional_special_tokens": ["<|im_end|>"]}
    with pytest.raises(RecipeError, match=r"the tokenizer already has '<\|im_end\|>'"):
        check({**content, "model": known}, file_digests)


def test_an_adapter_and_unfrozen_layers_exclude_each_other(content: dict[str, Any]) -> None:
    training = {"peft": {"peft_type": "LORA"}, "num_layers_unfrozen": 1}
    with pytest.raises(RecipeError, match="leave out `num_layers_unfrozen`"):
        parse_recipe({**content, "training": training}, "recipe.yaml")


def test_a_recipe_that_asks_for_nothing_special_costs_no_import_of_torch(
    content: dict[str, Any], tmp_path: Path
) -> None:
    script = """
import json, sys
from pathlib import Path
from sft_core.store.file_digests import FileDigests
from sft_core.pretrained.model import locate_model
from sft_core.recipe.model_check import check_model
from sft_core.recipe import Recipe
from sft_core.pretrained.tokenizer import locate_tokenizer
recipe = Recipe.model_validate(json.loads(sys.argv[1]))
digests = FileDigests(Path(sys.argv[2]))
check_model(recipe, locate_model(recipe.model, digests), locate_tokenizer(recipe.model, digests), digests)
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", script, json.dumps(content), str(tmp_path / "digests.sqlite")]
    assert subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.strip() == "False"


def word_tokenizer(folder: Path, words: list[str]) -> Path:
    vocabulary = {word: index for index, word in enumerate(words)}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token=words[0]))
    PreTrainedTokenizerFast(tokenizer_object=made, eos_token=words[0]).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("words", "fits"),
    [(["e", "a", "b"], True), (["e", "a", "b", "more"], True), (["e", "b", "a"], False)],
    ids=["the same", "more", "moved"],
)
def test_a_tokenizer_that_gives_known_tokens_other_ids_is_told(
    tmp_path: Path, file_digests: FileDigests, words: list[str], fits: bool
) -> None:
    model = word_tokenizer(tmp_path / "model", ["e", "a", "b"])
    (model / "config.json").write_text(json.dumps({**LLAMA, "vocab_size": 8}))
    (model / "model.safetensors").write_bytes(b"")
    named = {"path": str(model), "tokenizer": str(word_tokenizer(tmp_path / "other", words))}
    content = {"name": "tiny", "model": named, "sources": [{"path": "nowhere.jsonl"}]}
    if fits:
        check(content, file_digests)
    else:
        with pytest.raises(RecipeError, match=r"2 tokens have other ids .* for example 'a': 2 instead of 1"):
            check(content, file_digests)


def test_where_no_tokenizer_lies_with_the_model_nothing_is_known(
    tmp_path: Path, tokenizer_folder: Path, file_digests: FileDigests
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    named = {"path": str(tmp_path), "tokenizer": str(tokenizer_folder)}
    check({"name": "tiny", "model": named, "sources": [{"path": "nowhere.jsonl"}]}, file_digests)
