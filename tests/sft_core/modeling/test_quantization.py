"""A base in 4 bits under an adapter; bitsandbytes quantizes on the CPU as well."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from sft_core.errors import RecipeError
from sft_core.modeling import (
    choose_trained,
    deliver_adapter,
    is_quantized,
    load_model,
    load_trained,
    to_device,
)
from sft_core.modeling.quantization import quantization_of

from .tiny_models import logits_of, rows, saved_ref, tiny_model, tiny_tokenizer

FOUR_BITS = {"quantization_config": {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"load_in_4bits": True}, r"load_in_4bits: bitsandbytes has no such field; did you mean 'load_in_4bit'\?"),
        ({"bnb_4bit_quant_type": "nf4"}, "expected `load_in_4bit: true` or `load_in_8bit: true`, found neither"),
        ({"load_in_4bit": True, "load_in_8bit": True}, "load_in_4bit and load_in_8bit are both True"),
    ],
)
def test_a_mistake_is_told_before_anything_is_loaded(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        quantization_of({"quantization_config": fields})


def test_without_bitsandbytes_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else find(name))
    with pytest.raises(RecipeError, match=r"pip install 'sft\[quantization\]'"):
        quantization_of(FOUR_BITS)


def test_without_a_device_that_can_quantize_the_lack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import bitsandbytes

    monkeypatch.setattr(bitsandbytes, "supported_torch_devices", {"xpu"})
    with pytest.raises(RecipeError, match=r"quantizes on \(a GPU\), found cpu"):
        quantization_of(FOUR_BITS)


def test_an_adapter_on_a_quantized_base_is_trained_in_float32_and_kept_apart(tmp_path: Path) -> None:
    source, tokenizer = tiny_model(hidden_size=64, intermediate_size=128), tiny_tokenizer()
    ref = saved_ref(tmp_path / "base", source, model_init_kwargs=FOUR_BITS)
    base = load_model(ref, tokenizer, seed=0)
    assert base.model.layers[0].self_attn.q_proj.weight.dtype == torch.uint8
    model = choose_trained(base, {"peft_type": "LORA", "r": 4}, is_quantized=is_quantized(base))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert {parameter.dtype for parameter in trained} == {torch.float32}
    optimizer, (ids, positions) = torch.optim.SGD(trained, lr=0.5), rows()
    for _ in range(2):
        model.train()(input_ids=ids, position_ids=positions, use_cache=False).logits.logsumexp(-1).sum().backward()
        optimizer.step()
    model.save_pretrained(tmp_path / "adapter")
    assert not deliver_adapter(tmp_path / "adapter", tmp_path / "model", ref, tokenizer, 0, merge_adapter=True)
    tokenizer.save_pretrained(tmp_path / "model")
    loaded = load_trained(tmp_path / "model")
    assert torch.equal(logits_of(loaded), logits_of(model))
    assert not torch.allclose(logits_of(loaded), logits_of(load_model(ref, tokenizer, seed=0)))
    assert to_device(loaded, torch.device("meta")) is loaded, "what is quantized stays where it was made"


def test_quantized_weights_without_an_adapter_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"add an adapter, for example training\.peft"):
        choose_trained(tiny_model(), {}, is_quantized=True)
