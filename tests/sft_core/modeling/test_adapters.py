"""Adapters by PEFT's names: what is checked from the recipe, and what is then trained."""

from typing import Any

import pytest
import torch

from sft_core.errors import RecipeError
from sft_core.modeling import choose_trained, count_trained, let_gradients_in
from sft_core.modeling.adapters import adapter_config, add_adapter, check_adapter

from .tiny_models import LLAMA, logits_of, rows, tiny_model


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"r": 8}, "expected a `peft_type`, for example LORA; found none"),
        ({"peft_type": "LOAR"}, r"expected a method of PEFT, found 'LOAR'; did you mean 'LORA'\?"),
        ({"peft_type": "lora"}, r"found 'lora'; did you mean 'LORA'\?"),
        ({"peft_type": "LORA", "lora_aplha": 8}, r"lora_aplha: LORA has no such field; did you mean 'lora_alpha'\?"),
        ({"peft_type": "LORA", "inference_mode": True}, "inference_mode: LORA has no such field"),
        ({"peft_type": "LORA", "task_type": "SEQ_CLS"}, "expected CAUSAL_LM, found 'SEQ_CLS'"),
        ({"peft_type": "LORA", "init_lora_weights": "eva"}, "'eva' is computed from data"),
        ({"peft_type": "LORA", "alora_invocation_tokens": [5]}, "blocks of several rows"),
        ({"peft_type": "LORA", "use_dora": True, "loftq_config": 3, "layers_pattern": "x"}, "cannot be configured"),
    ],
)
def test_a_mistake_is_told_from_the_recipe_alone(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        adapter_config(fields)


def test_pefts_own_defaults_hold() -> None:
    config = adapter_config({"peft_type": "LORA"})
    assert (config.r, config.lora_alpha, config.lora_dropout, config.task_type) == (8, 8, 0.0, "CAUSAL_LM")


def test_virtual_tokens_do_not_go_with_packing_nor_a_prefix_with_checkpointing() -> None:
    prompt = {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}
    with pytest.raises(RecipeError, match=r"many texts in one row; set packing\.packing"):
        check_adapter(prompt, is_packed=True, has_gradient_checkpointing=False)
    with pytest.raises(RecipeError, match=r"a single row; remove training\.padding_free"):
        check_adapter(prompt, is_packed=False, has_gradient_checkpointing=False, is_padding_free=True)
    check_adapter(prompt, is_packed=False, has_gradient_checkpointing=True)
    with pytest.raises(RecipeError, match=r"set training\.gradient_checkpointing to false"):
        check_adapter({**prompt, "peft_type": "PREFIX_TUNING"}, is_packed=False, has_gradient_checkpointing=True)
    check_adapter({"peft_type": "LORA"}, is_packed=True, has_gradient_checkpointing=True)


def test_virtual_tokens_are_seen_but_not_heard() -> None:
    """Each position answers as if the prompt stood in front, which itself answers nothing."""
    model = add_adapter(tiny_model(), {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 3}, seed=0)
    ids, base = rows()[0], model.get_base_model()
    embeddings = torch.cat([model.get_prompt(len(ids)), base.get_input_embeddings()(ids)], dim=1)
    assert torch.equal(logits_of(model), base(inputs_embeds=embeddings, use_cache=False).logits[:, 3:])


def test_a_module_that_the_model_does_not_have_is_named() -> None:
    with pytest.raises(RecipeError, match=r"LORA does not fit LlamaForCausalLM: .*no_such_proj"):
        add_adapter(tiny_model(), {"peft_type": "LORA", "target_modules": ["no_such_proj"]}, seed=0)


def test_an_architecture_unknown_to_peft_gets_lora_in_all_its_linear_layers() -> None:
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    assert "olmo2" not in TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
    model = add_adapter(tiny_model({**LLAMA, "model_type": "olmo2"}), {"peft_type": "LORA", "r": 2}, seed=0)
    adapted = {name.split(".lora_A")[0].split(".")[-1] for name, _ in model.named_parameters() if "lora_A" in name}
    assert adapted == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def test_adapters_come_from_the_seed_whatever_was_drawn_before() -> None:
    def drawn(seed: int, draws_before: int) -> torch.Tensor:
        model = tiny_model()
        torch.rand(draws_before)
        return next(p for n, p in add_adapter(model, {"peft_type": "LORA"}, seed).named_parameters() if "lora_A" in n)

    assert torch.equal(drawn(1, 0), drawn(1, 7))
    assert not torch.equal(drawn(1, 0), drawn(2, 0))


def test_only_the_adapter_is_trained_and_in_float32_over_a_bfloat16_base() -> None:
    model = choose_trained(tiny_model().to(torch.bfloat16), {"peft_type": "LORA", "r": 4})
    trained = {name: parameter.dtype for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert all("lora_" in name for name in trained)
    assert set(trained.values()) == {torch.float32}
    assert count_trained(model) == 2 * 2 * (4 * 32 + 4 * 32)  # layers × (q, v) × (A + B)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("part", [{"peft": {"peft_type": "LORA"}}, {"peft": {}, "num_layers_unfrozen": 1}])
def test_gradient_checkpointing_gives_the_same_gradients_with_frozen_embeddings(
    reentrant: bool, part: dict[str, Any]
) -> None:
    def gradients(checkpointing: bool) -> dict[str, torch.Tensor]:
        model = choose_trained(tiny_model(), **part)
        if checkpointing:
            options = {"use_reentrant": reentrant}
            let_gradients_in(model, options)
            model.activation_checkpointing_enable(options)
        ids, positions = rows()
        model.train()(input_ids=ids, position_ids=positions, use_cache=False).logits.logsumexp(-1).sum().backward()
        return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}

    plain, again = gradients(False), gradients(True)
    assert plain.keys() == again.keys()
    assert any(gradient.abs().sum() > 0 for gradient in plain.values())
    for name, gradient in plain.items():
        assert torch.allclose(gradient, again[name], rtol=1e-5, atol=1e-7), name
