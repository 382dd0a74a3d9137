"""What training leaves behind is loaded by anybody, and gives what the trained model gave."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from sft_core.modeling import choose_trained, deliver_adapter, load_model, load_trained, new_ids
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.tokenizer import add_special_tokens

from .tiny_models import logits_of, random_ref, saved_ref, tiny_model, tiny_tokenizer

LORA = {"peft_type": "LORA", "r": 4, "target_modules": "all-linear"}


def deliver(
    folder: Path, ref: ModelRef, fields: dict[str, Any] = LORA, merge_adapter: bool = True
) -> tuple[torch.Tensor, bool]:
    """Train nothing, but move the adapter at random; return what the model then says."""
    tokenizer = tiny_tokenizer()
    add_special_tokens(tokenizer, ref.additional_special_tokens)
    ids = new_ids(tokenizer, ref.additional_special_tokens)
    model = choose_trained(load_model(ref, tokenizer, seed=3), fields, new_token_ids=ids)
    torch.manual_seed(9)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    model.save_pretrained(folder / "adapter")
    is_merged = deliver_adapter(folder / "adapter", folder / "model", ref, tokenizer, 3, merge_adapter)
    tokenizer.save_pretrained(folder / "model")
    return logits_of(model), is_merged


@pytest.mark.parametrize("is_tied", [False, True])
def test_a_merged_folder_needs_transformers_alone_and_says_the_same(tmp_path: Path, is_tied: bool) -> None:
    ref = saved_ref(tmp_path / "base", tiny_model(seed=4, tie_word_embeddings=is_tied))
    expected, is_merged = deliver(tmp_path, ref)
    assert is_merged
    assert not (tmp_path / "model" / "adapter_config.json").exists()
    assert (tmp_path / "adapter" / "adapter_model.safetensors").exists()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(loaded).__name__ == "LlamaForCausalLM"
    assert logits_of(loaded).flatten().tolist() == pytest.approx(expected.flatten().tolist(), abs=1e-5)
    assert torch.equal(logits_of(load_trained(tmp_path / "model")), logits_of(loaded))


def test_an_adapter_kept_apart_is_put_on_its_base_again(tmp_path: Path) -> None:
    expected, is_merged = deliver(tmp_path, saved_ref(tmp_path / "base", tiny_model(seed=4)), merge_adapter=False)
    assert not is_merged
    assert not (tmp_path / "model" / "model.safetensors").exists()
    loaded = load_trained(tmp_path / "model")
    assert torch.equal(logits_of(loaded), expected)
    assert loaded.get_base_model().name_or_path == str(tmp_path / "base")


@pytest.mark.parametrize("folder", ["adapter", "model"])
def test_an_adapter_names_its_base_as_the_recipe_does(tmp_path: Path, folder: str) -> None:
    deliver(tmp_path, saved_ref(tmp_path / "base", tiny_model()), merge_adapter=False)
    named = json.loads((tmp_path / folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert named == str(tmp_path / "base")


def test_random_weights_go_with_their_adapter_and_move_with_it(tmp_path: Path) -> None:
    expected, _ = deliver(tmp_path, random_ref(), merge_adapter=False)
    moved = (tmp_path / "model").rename(tmp_path / "elsewhere")
    assert torch.equal(logits_of(load_trained(moved)), expected)


@pytest.mark.parametrize("merge_adapter", [False, True])
def test_new_tokens_come_back_with_what_they_learned(tmp_path: Path, merge_adapter: bool) -> None:
    ref = saved_ref(tmp_path / "base", tiny_model(seed=4), additional_special_tokens=("<a>", "<b>"))
    expected, is_merged = deliver(tmp_path, ref, merge_adapter=merge_adapter)
    assert is_merged == merge_adapter
    loaded = load_trained(tmp_path / "model")
    assert loaded.get_input_embeddings().weight.shape[0] == 50
    assert logits_of(loaded).flatten().tolist() == pytest.approx(expected.flatten().tolist(), abs=1e-5)


def test_what_cannot_be_merged_is_found_when_it_is_tried(tmp_path: Path) -> None:
    """A bias of LoRA's own has nowhere to go in layers without one."""
    fields = {"peft_type": "LORA", "lora_bias": True, "target_modules": ["q_proj"]}
    with pytest.warns(UserWarning, match="merging failed, so the adapter stays separate"):
        expected, is_merged = deliver(tmp_path, saved_ref(tmp_path / "base", tiny_model(seed=4)), fields)
    assert not is_merged
    assert torch.equal(logits_of(load_trained(tmp_path / "model")), expected)
