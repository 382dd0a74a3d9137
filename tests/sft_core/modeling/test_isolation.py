"""Documents that share a block never attend to each other: shown on logits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedModel, set_seed

from sft_core.errors import RecipeError
from sft_core.modeling import Attention, Blocks, Collator, attention_over_rows, isolated_attention
from sft_core.modeling.attention import use_attention

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


def tiny(**fields: object) -> PreTrainedModel:
    set_seed(0)
    sizes = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
    config = AutoConfig.for_model(**{**sizes, **ids, "intermediate_size": 64, **fields})
    return AutoModelForCausalLM.from_config(config)


ARCHITECTURES = [
    {"model_type": "llama", "num_key_value_heads": 2},
    {"model_type": "mistral", "num_key_value_heads": 1, "sliding_window": 3},
    {"model_type": "gemma3_text", "head_dim": 8, "sliding_window": 3},
    {"model_type": "gpt_neox"},
    {"model_type": "granite", "attention_multiplier": 0.5},
]


@pytest.mark.parametrize("fields", ARCHITECTURES, ids=lambda fields: fields["model_type"])
def test_varlen_computes_what_the_models_own_attention_does(fields: dict) -> None:
    """Grouped heads, one key-value head, windows shorter than a document, and scales."""
    model = tiny(**fields).eval()
    expected = torch.cat([logits_of(model, block(document))[0] for document in DOCUMENTS])
    use_attention(model, "varlen")
    batch = Collator(pad_token_id=0, padding_free=True)([block(*DOCUMENTS[:3]), block(*DOCUMENTS[3:])])
    inputs = {name: batch[name] for name in batch if name.startswith(("input", "position", "cu_seq", "max_length"))}
    torch.testing.assert_close(model(**inputs, use_cache=False).logits[0], expected, rtol=0, atol=1e-5)


def test_varlen_refuses_padded_rows_and_generation_has_a_way() -> None:
    model = tiny(model_type="llama").eval()
    rows = {"input_ids": torch.tensor([[5, 6, 7]]), "attention_mask": torch.tensor([[1, 1, 1]])}
    expected = model.generate(**rows, max_new_tokens=3, do_sample=False)
    use_attention(model, "varlen")
    with pytest.raises(RecipeError, match="`varlen` needs padding-free batches"):
        model(torch.tensor([[5, 6, 7]]))
    with attention_over_rows(model):
        assert torch.equal(model.generate(**rows, max_new_tokens=3, do_sample=False), expected)
    assert model.config._attn_implementation == "varlen"


def saved_blocks(folder: Path, *blocks: dict) -> Blocks:
    columns = [{name: block[name].tolist() for name in ("input_ids", "seq_lengths", "labels")} for block in blocks]
    Dataset.from_list(columns).save_to_disk(str(folder / "train"))
    return Blocks(folder / "train")


@pytest.fixture
def packed(tmp_path: Path) -> Blocks:
    return saved_blocks(tmp_path / "packed", block(*DOCUMENTS), block([20, 21, 22]))


@pytest.fixture
def unpacked(tmp_path: Path) -> Blocks:
    return saved_blocks(tmp_path / "unpacked", *(block(document) for document in DOCUMENTS))


def attention_of(model: PreTrainedModel, blocks: Blocks, requested: str = "auto", **options: object) -> Attention:
    fields = {"padding_free": None, "dtype": torch.float32, **options}
    return isolated_attention(model, requested, splits=[blocks], **fields)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("fields", ARCHITECTURES, ids=lambda fields: fields["model_type"])
def test_the_check_lets_isolated_documents_pass(fields: dict, dtype: torch.dtype, packed: Blocks) -> None:
    model = tiny(**fields)
    assert attention_of(model, packed, dtype=dtype) == Attention("varlen", padding_free=True)
    for padding_free in (True, False):
        assert attention_of(model, packed, "eager", padding_free=padding_free, dtype=dtype).implementation == "eager"
    assert model.training, "left as it was"


RECURRENT = [
    {"model_type": "mamba", "state_size": 4},
    {"model_type": "bamba", "mamba_n_heads": 8, "mamba_d_head": 8, "num_key_value_heads": 2},
    {"model_type": "lfm2", "layer_types": ["conv", "full_attention"], "num_key_value_heads": 2},
]


@pytest.mark.parametrize("fields", RECURRENT, ids=lambda fields: fields["model_type"])
def test_models_whose_state_runs_on_train_on_rows_and_not_on_packs(
    fields: dict, packed: Blocks, unpacked: Blocks
) -> None:
    model = tiny(**fields)
    assert attention_of(model, unpacked).padding_free is False
    with pytest.raises(RecipeError, match=r"affect each other.*`packing.packing: false`"):
        attention_of(model, packed)
    with pytest.raises(RecipeError, match=r"`training.padding_free: false`"):
        attention_of(model, unpacked, padding_free=True)


def test_a_small_leak_that_half_precision_hides_is_no_way_around(packed: Blocks, unpacked: Blocks) -> None:
    model = tiny(model_type="jamba", num_key_value_heads=2).to(torch.bfloat16)
    assert attention_of(model, unpacked, dtype=torch.bfloat16).padding_free is False
    with pytest.raises(RecipeError, match=r"cannot be measured in half precision; set `model.dtype: float32`"):
        attention_of(model, packed, dtype=torch.bfloat16)


def test_a_mask_that_an_architecture_ignores_is_seen_and_auto_finds_another(packed: Blocks) -> None:
    """OPT makes its mask without looking at positions: packs leak, but not where no mask is needed."""
    fields = {"model_type": "opt", "ffn_dim": 64, "word_embed_proj_dim": 32}
    with pytest.raises(RecipeError, match=r"OPTForCausalLM with `sdpa` attention and padded.*where 5e-05 is allowed"):
        attention_of(tiny(**fields), packed, "sdpa")
    assert attention_of(tiny(**fields), packed) == Attention("varlen", padding_free=True)


def test_models_without_positions_are_refused_for_packs(packed: Blocks, unpacked: Blocks) -> None:
    fields = {"model_type": "bloom"}
    assert attention_of(tiny(**fields), unpacked) == Attention("eager", padding_free=False)
    with pytest.raises(RecipeError, match="takes no position_ids"):
        attention_of(tiny(**fields), packed)


def test_attention_with_dropout_is_left_to_the_model(unpacked: Blocks) -> None:
    assert attention_of(tiny(model_type="gpt2"), unpacked) == Attention("sdpa", padding_free=False)
    with pytest.raises(RecipeError, match=r"remove `training.padding_free: false`"):
        attention_of(tiny(model_type="llama"), unpacked, "varlen", padding_free=False)
