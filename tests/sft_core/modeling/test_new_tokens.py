"""Tokens that a recipe adds: their rows, in tied and untied models, and who trains them."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from sft_core.errors import RecipeError
from sft_core.modeling import choose_trained, load_model, new_ids
from sft_core.pretrained.tokenizer import add_special_tokens

from .tiny_models import VOCABULARY, logits_of, random_ref, rows, saved_ref, tiny_model, tiny_tokenizer

NEW = ("<think>", "</think>")
IDS = [VOCABULARY, VOCABULARY + 1]


def extended() -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    add_special_tokens(tokenizer, NEW)
    return tokenizer


def loaded(folder: Path, is_tied: bool, vocab_size: int = VOCABULARY) -> tuple[Any, Any]:
    """A model before and after it got the new tokens."""
    model = tiny_model(tie_word_embeddings=is_tied, vocab_size=vocab_size)
    ref = saved_ref(folder, model, additional_special_tokens=NEW)
    return model, load_model(ref, extended(), seed=0)


@pytest.mark.parametrize("is_tied", [False, True])
def test_new_rows_begin_as_the_mean_and_old_ones_stay(tmp_path: Path, is_tied: bool) -> None:
    old, new = loaded(tmp_path, is_tied)
    assert new.config.vocab_size == VOCABULARY + 2
    for name in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(old, name)().weight, getattr(new, name)().weight
        assert torch.equal(after[:VOCABULARY], before)
        assert after[IDS[0]].tolist() == pytest.approx(before.mean(0).tolist(), abs=1e-6)
        assert torch.equal(after[IDS[0]], after[IDS[1]])
    assert (new.get_input_embeddings().weight is new.get_output_embeddings().weight) == is_tied


def test_spare_rows_are_used_and_not_averaged(tmp_path: Path) -> None:
    old, new = loaded(tmp_path, is_tied=False, vocab_size=64)
    assert new.get_input_embeddings().weight.shape[0] == 64
    expected = old.get_input_embeddings().weight[:VOCABULARY].mean(0)
    assert new.get_input_embeddings().weight[IDS[1]].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_without_new_tokens_a_vocabulary_that_is_too_small_is_still_refused(tmp_path: Path) -> None:
    ref = saved_ref(tmp_path, tiny_model(vocab_size=VOCABULARY - 1), additional_special_tokens=NEW)
    with pytest.raises(RecipeError, match="47 embeddings are too few for the tokenizer's 50 ids; they do not belong"):
        load_model(ref, extended(), seed=0)


def test_random_weights_are_drawn_for_new_tokens_as_for_all_others() -> None:
    config = {name: value for name, value in random_ref().config.items() if name != "vocab_size"}
    model = load_model(random_ref(config=config, additional_special_tokens=NEW), extended(), seed=0)
    rows_of_new = model.get_input_embeddings().weight[IDS]
    assert model.config.vocab_size == VOCABULARY + 2
    assert not torch.equal(rows_of_new[0], rows_of_new[1])


def test_a_token_that_is_there_already_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"the tokenizer already has 'w5' \(id 5\)"):
        add_special_tokens(tiny_tokenizer(), ["w5"])


def step_on_new_tokens(model: Any) -> None:
    ids, positions = rows()
    ids = ids.clone()
    ids[:, 3], ids[:, 6] = IDS
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=1.0)
    logits = model.train()(input_ids=ids, position_ids=positions, use_cache=False).logits
    torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    optimizer.step()


@pytest.mark.parametrize("is_tied", [False, True])
def test_lora_trains_just_the_new_rows_of_both_matrices(tmp_path: Path, is_tied: bool) -> None:
    old, base = loaded(tmp_path, is_tied)
    mean = base.get_input_embeddings().weight[IDS[0]].clone()
    model = choose_trained(base, {"peft_type": "LORA"}, new_token_ids=new_ids(extended(), NEW))
    step_on_new_tokens(model)
    merged = model.merge_and_unload()
    for name in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(old, name)().weight, getattr(merged, name)().weight
        assert torch.equal(after[:VOCABULARY], before), "old rows stand still"
        for row in IDS:
            assert (after[row] - mean).abs().max() > 1e-4
    assert torch.equal(merged.get_input_embeddings().weight, merged.get_output_embeddings().weight) == is_tied


def test_rows_that_the_user_names_are_trained_beside_the_new_ones(tmp_path: Path) -> None:
    _, base = loaded(tmp_path, is_tied=True)
    fields = {"peft_type": "LORA", "trainable_token_indices": [7]}
    model = choose_trained(base, fields, new_token_ids=IDS)
    assert model.peft_config["default"].trainable_token_indices == {"embed_tokens": [7, *IDS]}


def test_a_method_without_rows_trains_the_whole_matrices(tmp_path: Path) -> None:
    _, base = loaded(tmp_path, is_tied=False)
    before = base.get_input_embeddings().weight[IDS].clone()
    model = choose_trained(base, {"peft_type": "LOHA", "r": 2}, new_token_ids=IDS)
    step_on_new_tokens(model)
    merged = model.merge_and_unload()
    assert not torch.equal(merged.get_input_embeddings().weight[IDS], before)
    assert logits_of(merged).shape[-1] == VOCABULARY + 2


@pytest.mark.parametrize(
    ("part", "is_tied", "message"),
    [
        ({"peft": {"peft_type": "LOHA"}}, True, "LOHA cannot train single rows of tied embeddings; use LORA"),
        ({"peft": {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2}}, False, "has only virtual tokens"),
        ({"peft": {}, "num_layers_unfrozen": 1}, False, "1 freezes the embeddings"),
    ],
)
def test_what_would_leave_new_tokens_untrained_is_refused(
    tmp_path: Path, part: dict[str, Any], is_tied: bool, message: str
) -> None:
    _, base = loaded(tmp_path, is_tied)
    with pytest.raises(RecipeError, match=message):
        choose_trained(base, **part, new_token_ids=IDS)
