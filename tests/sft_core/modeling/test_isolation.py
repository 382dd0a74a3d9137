"""Documents that share a block never attend to each other: shown on logits."""

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from sft_core.modeling import Collator

DOCUMENTS = [[5, 6, 7, 8, 9], [10, 11], [12], [13], [14, 15, 16, 17]]


def tiny_llama(attn_implementation: str) -> LlamaForCausalLM:
    set_seed(0)
    config = LlamaConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        attn_implementation=attn_implementation,
    )
    return LlamaForCausalLM(config).eval()


def block(*documents: list[int]) -> dict:
    ids = [token for document in documents for token in document]
    return {"input_ids": np.array(ids), "seq_lengths": np.array([len(d) for d in documents]), "labels": np.array(ids)}


def logits_of(model: LlamaForCausalLM, *blocks: dict) -> torch.Tensor:
    batch = Collator(pad_token_id=0)(blocks)
    with torch.no_grad():
        return model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits


@pytest.mark.parametrize("attn_implementation", ["sdpa", "eager"])
def test_packed_logits_equal_those_of_each_document_alone(attn_implementation: str) -> None:
    model = tiny_llama(attn_implementation)
    packed = logits_of(model, block(*DOCUMENTS))[0]
    alone = torch.cat([logits_of(model, block(document))[0] for document in DOCUMENTS])
    torch.testing.assert_close(packed, alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize("attn_implementation", ["sdpa", "eager"])
def test_a_changed_document_leaves_its_neighbours_logits_alone(attn_implementation: str) -> None:
    model = tiny_llama(attn_implementation)
    before = logits_of(model, block([5, 6, 7], [8, 9, 10]))[0]
    after = logits_of(model, block([50, 51, 52], [8, 9, 10]))[0]
    torch.testing.assert_close(before[3:], after[3:], rtol=0, atol=1e-6)
    assert (before[:3] - after[:3]).abs().max() > 1e-2, "the test can see a difference"


def test_rows_of_a_batch_and_its_padding_leave_each_other_alone() -> None:
    model = tiny_llama("sdpa")
    batch = logits_of(model, block([5, 6], [7, 8, 9]), block([20, 21, 22, 23, 24, 25, 26]))
    torch.testing.assert_close(batch[0, :5], logits_of(model, block([5, 6], [7, 8, 9]))[0], rtol=0, atol=1e-5)


def test_padding_of_unpacked_rows_changes_nothing() -> None:
    model = tiny_llama("sdpa")
    batch = logits_of(model, block([5, 6, 7]), block([20, 21, 22, 23, 24]))
    torch.testing.assert_close(batch[0, :3], logits_of(model, block([5, 6, 7]))[0], rtol=0, atol=1e-5)
