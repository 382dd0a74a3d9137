"""The fused step in the place of real heads: the same loss and gradients as with all logits."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, set_seed

from sft_core.errors import RecipeError
from sft_core.modeling import Head, Objective, evaluate_batches, measure_head, router_aux_loss_coef, supervise
from sft_core.modeling import fused_loss as fused_module
from tests.sft_core.modeling.test_fused_loss import Shapes

VOCABULARY = 61
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
# The model, what its configuration says, and what it therefore does to its logits: scale and soft-cap.
MODELS: dict[str, tuple[dict[str, Any], float, float | None]] = {
    "llama": ({}, 1.0, None),
    "gemma2": ({"final_logit_softcapping": 0.5}, 1.0, 0.5),
    "gemma3_text": ({"final_logit_softcapping": 2.0}, 1.0, 2.0),
    "cohere": ({"logit_scale": 0.0625}, 0.0625, None),
    "granite": ({"logits_scaling": 3.0}, 1 / 3, None),
    "gpt2": ({"n_embd": 32, "n_layer": 1, "n_head": 2}, 1.0, None),
    "gpt_neox": ({}, 1.0, None),
    "phi": ({"num_key_value_heads": 2}, 1.0, None),
    "qwen3_moe": (EXPERTS, 1.0, None),
    "falcon_h1": ({"lm_head_multiplier": 0.25, "mamba_d_ssm": 32, "mamba_n_heads": 2, "mamba_d_head": 16}, 0.25, None),
}


def tiny(model_type: str, **overrides: Any) -> PreTrainedModel:
    """Weights large enough for the soft-caps to bend."""
    set_seed(0)
    sizes = {} if model_type == "gpt2" else SIZES
    fields = {**sizes, "vocab_size": VOCABULARY, **MODELS[model_type][0], **overrides}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **fields))
    with torch.no_grad():
        head = model.get_output_embeddings()
        head.weight.normal_(std=0.3)
        if head.bias is not None:
            head.bias.normal_()
    return model.eval()


def a_batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, VOCABULARY, (2, 9), generator=generator)
    keep = torch.rand(2, 9, generator=generator) < 0.6
    return {
        "input_ids": ids,
        "position_ids": torch.arange(9).repeat(2, 1),
        "labels": torch.where(keep, ids, -100),
        "loss_weights": torch.rand(2, 9, generator=generator),
    }


def with_all_logits(model: nn.Module, batch: dict[str, Tensor], objective: Objective) -> Tensor:
    logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
    following, weights = batch["labels"][:, 1:], batch["loss_weights"][:, 1:]
    losses = nn.functional.cross_entropy(
        logits[:, :-1].transpose(1, 2),
        following,
        reduction="none",
        ignore_index=-100,
        label_smoothing=objective.label_smoothing,
    )
    return (losses * weights * (torch.exp(-losses).detach() if objective.loss_type == "dft" else 1.0)).sum()


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_equal_gradients(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Small entries are sums of large ones of both signs: they round as the largest entry does."""
    assert found.keys() == expected.keys()
    rounding = 1e-6 * max(gradient.abs().max().item() for gradient in expected.values())
    for name, gradient in expected.items():
        assert (found[name] - gradient).abs().max().item() <= rounding, name


@pytest.mark.parametrize("model_type", MODELS)
def test_fused_loss_and_gradients_equal_those_of_all_logits(model_type: str) -> None:
    model, batch = tiny(model_type), a_batch()
    head = measure_head(model, batch)
    assert head.linear is model.get_output_embeddings()
    _, scale, softcap = MODELS[model_type]
    assert head.transform.scale == pytest.approx(scale, rel=1e-6)
    assert head.transform.softcap == (None if softcap is None else pytest.approx(softcap, rel=1e-6))
    for objective in (Objective(), Objective("dft"), Objective(label_smoothing=0.2)):
        found, expected = supervise(model, head, batch, objective), with_all_logits(model, batch, objective)
        assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)
        assert found.target_losses.sum().item() == pytest.approx(expected.item(), rel=1e-5)
        assert_equal_gradients(gradients(model, found.loss), gradients(model, expected))


@pytest.mark.parametrize("objective", [Objective("dft"), Objective(label_smoothing=0.2)])
@pytest.mark.parametrize("model_type", ["llama", "gemma2", "cohere"])
def test_the_models_own_logits_say_the_same(model_type: str, objective: Objective) -> None:
    model, batch = tiny(model_type), a_batch()
    head = measure_head(model, batch)
    fused = supervise(model, head, batch, objective)
    exact = supervise(model, Head(head.module, None, head.transform), batch, objective)
    torch.testing.assert_close(fused.sums, exact.sums, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fused.target_losses, exact.target_losses, rtol=1e-4, atol=1e-6)
    assert_equal_gradients(gradients(model, fused.loss), gradients(model, exact.loss))


@pytest.mark.parametrize("frozen", ["head", "body"])
def test_frozen_parts_get_no_gradient_and_the_others_all_of_theirs(frozen: str) -> None:
    model, batch = tiny("llama", tie_word_embeddings=False), a_batch()
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("lm_head") == (frozen == "body"))
    found = gradients(model, supervise(model, measure_head(model, batch), batch).loss)
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert_equal_gradients(found, gradients(model, with_all_logits(model, batch, Objective())))


def test_no_tensor_of_all_tokens_by_the_vocabulary_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fused_module.LOGITS_BYTES, "cpu", 2 * 4 * VOCABULARY)
    model, batch = tiny("gemma2"), a_batch()
    head = measure_head(model, batch)
    with Shapes() as shapes:
        supervise(model, head, batch).loss.backward()
    largest = max(shape.numel() for shape in shapes.made if VOCABULARY in shape and 32 not in shape)
    assert largest == 2 * 2 * VOCABULARY, "two rows of logits and of probabilities"


def test_measuring_changes_neither_model_nor_random_numbers() -> None:
    model, batch = tiny("llama", attention_dropout=0.5).train(), a_batch()
    before = torch.get_rng_state()
    head = measure_head(model, batch)
    supervise(model.eval(), head, batch)
    assert torch.equal(torch.get_rng_state(), before)
    assert "forward" not in vars(head.module)
    assert model(input_ids=batch["input_ids"]).logits.shape == (2, 9, VOCABULARY)


def test_inputs_that_are_not_one_number_per_token_are_left_whole() -> None:
    model, batch = tiny("cohere"), a_batch()
    head = measure_head(model, {**batch, "cu_seq_lens_q": torch.tensor([0, 9, 18]), "max_length_q": 9})
    assert head.transform.scale == 0.0625
    assert head.linear is model.lm_head


def test_an_error_within_the_model_leaves_its_head_as_it_was() -> None:
    model, batch = tiny("llama"), a_batch()
    head = measure_head(model, batch)
    with pytest.raises(IndexError):
        supervise(model, head, {**batch, "input_ids": batch["input_ids"] + VOCABULARY})
    assert "forward" not in vars(head.module)


class Offset(nn.Linear):
    """A head with a forward of its own, as a quantized one has."""

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden) + 1.0


@pytest.mark.parametrize("why", ["a forward of its own", "unknown work on the logits"])
def test_what_cannot_be_replaced_makes_its_own_logits(why: str) -> None:
    model, batch = tiny("llama", tie_word_embeddings=False), a_batch()
    if why == "a forward of its own":
        model.lm_head.__class__ = Offset
    else:
        model.lm_head.register_forward_hook(lambda _, args, logits: logits + torch.arange(VOCABULARY) / VOCABULARY)
    head = measure_head(model, batch)
    assert head.linear is None
    found, expected = supervise(model, head, batch), with_all_logits(model, batch, Objective())
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_equal_gradients(gradients(model, found.loss), gradients(model, expected))


@pytest.mark.parametrize("kind", ["modules_to_save", "lora", "lora_off", "body"])
def test_adapters_around_the_head(kind: str) -> None:
    """A trained copy of the head is fused; LoRA on the head is not, unless it is switched off."""
    peft = pytest.importorskip("peft")
    model, batch = tiny("llama", tie_word_embeddings=False), a_batch()
    on_head = kind.startswith("lora")
    config = peft.LoraConfig(
        target_modules=["lm_head"] if on_head else ["q_proj"],
        modules_to_save=["lm_head"] if kind == "modules_to_save" else None,
        init_lora_weights=False,
        task_type="CAUSAL_LM",
    )
    model = peft.get_peft_model(model, config).eval()
    if kind == "modules_to_save":
        model.get_output_embeddings().modules_to_save["default"].weight.data.mul_(1.5)
    if kind == "lora_off":
        model.disable_adapter_layers()
        model.base_model.model.lm_head.base_layer.weight.requires_grad_()
    head = measure_head(model, batch)
    assert (head.linear is None) == (kind == "lora")
    found, expected = supervise(model, head, batch), with_all_logits(model, batch, Objective())
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert_equal_gradients(gradients(model, found.loss), gradients(model, expected))


@pytest.mark.parametrize(
    ("method", "options"),
    [("IA3", {"feedforward_modules": []}), ("VERA", {}), ("LOHA", {}), ("LOKR", {}), ("LORA", {"use_dora": True})],
)
def test_an_adapter_on_the_head_that_begins_without_effect_is_trained(method: str, options: dict[str, Any]) -> None:
    """It cannot be told from none by what comes out of the head."""
    peft = pytest.importorskip("peft")
    model, batch = tiny("llama", tie_word_embeddings=False), a_batch()
    config = peft.mapping.PEFT_TYPE_TO_CONFIG_MAPPING[method](
        target_modules=["lm_head"], task_type="CAUSAL_LM", **options
    )
    model = peft.get_peft_model(model, config).eval()
    head = measure_head(model, batch)
    found, expected = supervise(model, head, batch), with_all_logits(model, batch, Objective())
    assert found.loss.item() == pytest.approx(expected.item(), rel=1e-5)
    gradient = gradients(model, expected)
    assert any(part.abs().max() > 0 for part in gradient.values())
    assert_equal_gradients(gradients(model, found.loss), gradient)


def test_evaluation_and_bfloat16_take_the_same_way() -> None:
    model, batch = tiny("llama"), a_batch()
    exact = evaluate_batches(model, [batch, batch], torch.device("cpu"))
    once = supervise(model, measure_head(model, batch), batch)
    torch.testing.assert_close(exact, 2 * once.sums)
    with torch.autocast("cpu", torch.bfloat16):
        rough = evaluate_batches(model, [batch, batch], torch.device("cpu"))
    assert rough[0].item() == pytest.approx(exact[0].item(), rel=2e-2)
    assert rough[0].item() != exact[0].item()


def test_a_compiled_model_keeps_its_fused_head() -> None:
    model, batch = tiny("llama"), a_batch()
    expected = supervise(model, measure_head(model, batch), batch)
    compiled = torch.compile(model, backend="eager")
    head = measure_head(compiled, batch)
    assert head.linear is model.lm_head
    for _ in range(2):
        assert supervise(compiled, head, batch).loss.item() == pytest.approx(expected.loss.item(), rel=1e-6)


def test_the_routers_loss_is_the_models_own() -> None:
    model, batch = tiny("qwen3_moe"), a_batch()
    head = measure_head(model, batch)
    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    expected = model(**inputs, use_cache=False, output_router_logits=True).aux_loss
    found = supervise(model, head, batch, with_router=True)
    assert found.aux_loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert_equal_gradients(gradients(model, found.aux_loss), gradients(model, expected))
    assert supervise(model, head, batch).aux_loss is None


def test_the_routers_factor_is_the_models_unless_another_is_asked_for() -> None:
    experts, dense = tiny("qwen3_moe", router_aux_loss_coef=0.02), tiny("llama")
    assert [router_aux_loss_coef(experts, asked) for asked in (None, 0.0, 0.5)] == [0.02, 0.0, 0.5]
    assert router_aux_loss_coef(dense, None) == 0.0
    with pytest.raises(RecipeError, match="expected a mixture of experts, found LlamaForCausalLM"):
        router_aux_loss_coef(dense, 0.1)
