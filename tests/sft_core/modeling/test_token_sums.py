"""Loss, entropy and accuracy from logits, against a computation token by token."""

import math

import pytest
import torch

from sft_core.modeling import Objective, as_token_sums, weights_at_targets
from sft_core.modeling.metrics import TokenSums
from sft_core.modeling.token_sums import sum_over_targets

LOGITS = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0], [5.0, 0.0, 0.0]])
TARGETS = torch.tensor([0, 2, 1])


def test_sums_equal_a_brute_force_computation() -> None:
    loss, target_losses, target_hits, sums = sum_over_targets(LOGITS, TARGETS)
    losses, expected_entropy, hits = [], 0.0, []
    for row, target in zip(LOGITS.tolist(), TARGETS.tolist(), strict=True):
        total = sum(math.exp(z) for z in row)
        p = [math.exp(z) / total for z in row]
        losses.append(-math.log(p[target]))
        expected_entropy -= sum(q * math.log(q) for q in p)
        hits.append(max(range(3), key=lambda i: row[i]) == target)
    found = as_token_sums(sums)
    assert found.loss == found.nll == pytest.approx(sum(losses), rel=1e-6)
    assert loss.item() == pytest.approx(sum(losses), rel=1e-6)
    assert target_losses.tolist() == pytest.approx(losses, rel=1e-6)
    assert found.entropy == pytest.approx(expected_entropy, rel=1e-6)
    assert target_hits.tolist() == hits
    assert (found.correct, found.targets, found.weight) == (sum(hits), 3, 3)


def test_dft_scales_each_loss_and_its_gradient_by_the_targets_probability() -> None:
    plain, scaled = LOGITS.clone().requires_grad_(), LOGITS.clone().requires_grad_()
    p = torch.softmax(LOGITS, -1)[torch.arange(3), TARGETS]
    _, losses, _, sums = sum_over_targets(plain, TARGETS)
    dft, dft_losses, _, dft_sums = sum_over_targets(scaled, TARGETS, objective=Objective("dft"))
    sum_over_targets(plain, TARGETS, p).loss.backward()
    dft.backward()
    torch.testing.assert_close(dft_losses, losses * p)
    torch.testing.assert_close(scaled.grad, plain.grad)
    assert as_token_sums(dft_sums).nll == as_token_sums(sums).nll


def test_a_weight_scales_the_loss_of_its_target_and_nothing_else() -> None:
    plain, _, _, sums = sum_over_targets(LOGITS, TARGETS)
    first = sum_over_targets(LOGITS[:1], TARGETS[:1]).loss
    weighted, _, _, weighted_sums = sum_over_targets(LOGITS, TARGETS, torch.tensor([3.0, 1.0, 1.0]))
    assert weighted.item() == pytest.approx((plain + 2 * first).item(), rel=1e-6)
    assert weighted_sums[1:4].tolist() == sums[1:4].tolist()
    assert weighted_sums[4:].tolist() == [5.0, sums[5].item()]


def test_weights_are_taken_at_the_targets_after_the_shift() -> None:
    labels = torch.tensor([[1, 2, -100, 4]])
    assert weights_at_targets(torch.tensor([[9.0, 0.5, 0.0, 2.0]]), labels).tolist() == [0.5, 2.0]
    assert weights_at_targets(None, labels) is None


def test_without_targets_the_loss_is_a_zero_with_a_gradient() -> None:
    logits = torch.zeros(0, 3, requires_grad=True)
    loss, _, _, sums = sum_over_targets(logits, torch.zeros(0, dtype=torch.long))
    loss.backward()
    assert loss.item() == 0.0
    assert logits.grad is not None
    assert sums.tolist() == [0.0] * 6


def test_means_do_not_depend_on_how_tokens_were_batched() -> None:
    parts = [TokenSums(3.0, 1.0, 1, 2, 2), TokenSums(10.0, 4.0, 0, 8, 8)]
    assert (parts[0] + parts[1]).means("eval_") == {
        "eval_loss": 1.3,
        "eval_entropy": 0.5,
        "eval_mean_token_accuracy": 0.1,
    }


def test_means_of_nothing_are_nan() -> None:
    assert all(math.isnan(value) for value in TokenSums().means().values())
