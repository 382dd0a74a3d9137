"""Every method that the installed PEFT offers is trained, saved, delivered and loaded again, or refused with a
reason."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from sft_core.errors import RecipeError
from sft_core.modeling import as_token_sums, deliver_adapter, evaluate_batches, load_model, load_trained
from sft_core.modeling.adapters import REFUSED, adapter_config, add_adapter, is_mergeable

from .tiny_models import logits_of, random_ref, rows, tiny_tokenizer

METHODS = sorted(kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING)
SMALL: dict[str, dict[str, Any]] = {
    "ADAPTION_PROMPT": {"adapter_len": 2, "adapter_layers": 1},
    "C3A": {"block_size": 8},
    "CARTRIDGE": {"num_virtual_tokens": 3},
    "MISS": {"r": 4},
    "OFT": {"oft_block_size": 8},
    "PREFIX_TUNING": {"num_virtual_tokens": 3},
    "PROMPT_TUNING": {"num_virtual_tokens": 3},
    "P_TUNING": {"num_virtual_tokens": 3},
    "ROAD": {"group_size": 8},
    "SHIRA": {"r": 4},
    "TRAINABLE_TOKENS": {"token_indices": [3, 4, 5, 6, 7, 8, 9]},
    "VBLORA": {"vector_length": 8, "num_vectors": 8, "topk": 2},
    "WAVEFT": {"n_frequency": 64},
}
"""What a method needs for a model of 32 dimensions."""


def train_a_step(model: Any) -> None:
    """One step that moves everything that is trained."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05)
    ids, positions = rows()
    model.train()
    for _ in range(2):  # methods that begin with a zero matrix move the other one in the second step
        logits = model(input_ids=ids, position_ids=positions, use_cache=False).logits
        torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("method", METHODS)
def test_a_method_is_trained_and_comes_back_as_it_was_or_is_refused_with_a_reason(method: str, tmp_path: Path) -> None:
    fields = {"peft_type": method, **SMALL.get(method, {})}
    if method in REFUSED:
        with pytest.raises(RecipeError, match=f"{method} cannot be trained here: {REFUSED[method]}"):
            adapter_config(fields)
        return
    tokenizer, ref = tiny_tokenizer(), random_ref()
    base = load_model(ref, tokenizer, seed=1)
    before = logits_of(base)
    model = add_adapter(base, fields, seed=1)
    train_a_step(model)
    after = logits_of(model)
    assert after.shape == before.shape, "virtual tokens are hidden"
    assert not torch.allclose(after, before, atol=1e-6), "nothing was learned"

    model.save_pretrained(tmp_path / "adapter")
    is_merged = deliver_adapter(tmp_path / "adapter", tmp_path / "model", ref, tokenizer, 1, merge_adapter=True)
    tokenizer.save_pretrained(tmp_path / "model")
    assert is_merged == is_mergeable(model.active_peft_config)
    loaded = load_trained(tmp_path / "model")
    assert logits_of(loaded) == pytest.approx(after, abs=1e-5)

    ids, positions = rows()
    batch = {"input_ids": ids, "position_ids": positions, "labels": ids, "num_tokens": torch.tensor([9, 9])}
    means = as_token_sums(evaluate_batches(loaded, [batch], torch.device("cpu"))).means()
    expected = torch.nn.functional.cross_entropy(after[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    assert means["loss"] == pytest.approx(expected.item(), rel=1e-5)
    assert loaded.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=2, do_sample=False).shape == (2, 11)
