"""Loss, entropy and accuracy against a computation token by token."""

import math

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, set_seed

from sft_core.metrics import TokenSums
from sft_core.modeling import as_token_sums, forward_at_targets, sum_over_targets, weights_at_targets

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]])
TARGETS = torch.tensor([0, 2, 1])


def test_sums_equal_a_brute_force_computation() -> None:
    loss, sums, _ = sum_over_targets(LOGITS, TARGETS)
    expected_loss = expected_entropy = hits = 0.0
    for row, target in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        total = sum(math.exp(z) for z in row)
        p = [math.exp(z) / total for z in row]
        expected_loss -= math.log(p[target])
        expected_entropy -= sum(q * math.log(q) for q in p)
        hits += max(range(3), key=lambda i: row[i]) == target
    found = as_token_sums(sums)
    assert found.loss == pytest.approx(expected_loss, rel=1e-6)
    assert loss.item() == pytest.approx(expected_loss, rel=1e-6)
    assert found.entropy == pytest.approx(expected_entropy, rel=1e-6)
    assert (found.correct, found.targets, found.weight) == (hits, 3, 3)


def test_a_weight_scales_the_loss_of_its_target_and_nothing_else() -> None:
    plain, sums, _ = sum_over_targets(LOGITS, TARGETS)
    first, _, _ = sum_over_targets(LOGITS[:1], TARGETS[:1])
    weighted, weighted_sums, _ = sum_over_targets(LOGITS, TARGETS, torch.tensor([3.0, 1.0, 1.0]))
    assert weighted.item() == pytest.approx((plain + 2 * first).item(), rel=1e-6)
    assert weighted_sums[1:4].tolist() == sums[1:4].tolist()
    assert weighted_sums[4].item() == 5.0


def test_weights_are_taken_at_the_targets_after_the_shift() -> None:
    labels = torch.tensor([[1, 2, -100, 4]])
    assert weights_at_targets(torch.tensor([[9.0, 0.5, 0.0, 2.0]]), labels).tolist() == [0.5, 2.0]
    assert weights_at_targets(None, labels) is None


def test_without_targets_the_loss_is_a_zero_with_a_gradient() -> None:
    logits = torch.zeros(0, 3, requires_grad=True)
    loss, sums, _ = sum_over_targets(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert sums.tolist() == [0.0] * 5


def test_logits_at_targets_equal_those_of_the_whole_and_the_first_label_is_never_a_target() -> None:
    set_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=64, **sizes)).eval()
    inputs = {"input_ids": torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])}
    labels = torch.tensor([[5, 6, -100, 8], [9, -100, -100, 12]])
    chosen, targets = forward_at_targets(model, model.get_output_embeddings(), inputs, labels)
    whole = model(**inputs).logits
    assert targets.tolist() == [6, 8, 12]
    torch.testing.assert_close(chosen, torch.stack([whole[0, 0], whole[0, 2], whole[1, 2]]))
    assert model(**inputs).logits.shape == (2, 4, 64), "the model is as it was"


def test_means_do_not_depend_on_how_tokens_were_batched() -> None:
    parts = [TokenSums(3.0, 1.0, 1, 2, 2), TokenSums(10.0, 4.0, 0, 8, 8)]
    assert (parts[0] + parts[1]).means("eval_") == {
        "eval_loss": 1.3,
        "eval_entropy": 0.5,
        "eval_mean_token_accuracy": 0.1,
    }


def test_means_of_nothing_are_nan() -> None:
    assert all(math.isnan(value) for value in TokenSums().means().values())
