"""The fused step against a brute-force computation in float64, and what it never holds."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from sft_core.modeling import fused_loss as module
from sft_core.modeling.fused_loss import LogitTransform, fused_loss
from sft_core.modeling.objective import Objective

VOCABULARY, WIDTH, TARGETS = 23, 7, 10
OBJECTIVES = {"nll": Objective(), "dft": Objective("dft"), "smoothed": Objective(label_smoothing=0.2)}
TRANSFORMS = {"none": LogitTransform(), "scale": LogitTransform(0.3), "softcap": LogitTransform(1.5, 2.0)}


@pytest.fixture(autouse=True)
def _four_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 targets are cut into 4 + 4 + 2."""
    monkeypatch.setitem(module.LOGITS_BYTES, "cpu", 4 * VOCABULARY * 4)


def numbers(dtype: torch.dtype = torch.float32, targets: int = TARGETS) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        "hidden": torch.randn(targets, WIDTH, generator=generator).to(dtype),
        "weight": torch.randn(VOCABULARY, WIDTH, generator=generator).to(dtype),
        "bias": torch.randn(VOCABULARY, generator=generator).to(dtype),
        "targets": torch.randint(VOCABULARY, (targets,), generator=generator),
        "weights": torch.rand(targets, generator=generator) * 2,
    }


def brute_force(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor | None,
    objective: str,
    transform: LogitTransform,
) -> tuple[Tensor, dict[str, float]]:
    """All logits in float64, with autograd; and the sums by name."""
    z = hidden.double() @ weight.double().T
    z = (z if bias is None else z + bias.double()) * transform.scale
    z = z if transform.softcap is None else transform.softcap * torch.tanh(z / transform.softcap)
    log_p = torch.log_softmax(z, -1)
    nll = -log_p[torch.arange(len(z)), targets]
    losses = {"nll": nll, "dft": nll * torch.exp(-nll).detach(), "smoothed": 0.8 * nll - 0.2 * log_p.mean(-1)}[
        objective
    ]
    losses = losses if weights is None else losses * weights
    entropy = -(log_p.exp() * log_p).sum(-1)
    weight_sum = len(targets) if weights is None else weights.double().sum().item()
    hits = (z.argmax(-1) == targets).sum().item()
    return losses, {
        "loss": losses.sum().item(),
        "entropy": entropy.sum().item(),
        "correct": hits,
        "targets": len(targets),
        "weight": weight_sum,
        "nll": nll.sum().item(),
    }


CASES = list(itertools.product(OBJECTIVES, [False, True], [False, True], TRANSFORMS))


@pytest.mark.parametrize(("objective", "has_weights", "has_bias", "transform"), CASES)
def test_loss_sums_and_gradients_equal_a_brute_force_computation(
    objective: str, has_weights: bool, has_bias: bool, transform: str
) -> None:
    given_, same = numbers(), numbers()
    parts = [name for name in ("hidden", "weight", "bias") if name != "bias" or has_bias]
    arguments = []
    for values in (given_, same):
        for name in parts:
            values[name].requires_grad_()
        bias, weights = values["bias"] if has_bias else None, values["weights"] if has_weights else None
        arguments.append((values["hidden"], values["weight"], bias, values["targets"], weights))
    found = fused_loss(*arguments[0], OBJECTIVES[objective], TRANSFORMS[transform])
    losses, sums = brute_force(*arguments[1], objective, TRANSFORMS[transform])
    (0.25 * found.loss).backward()
    (0.25 * losses.sum()).backward()
    assert found.loss.item() == pytest.approx(sums["loss"], rel=1e-5)
    torch.testing.assert_close(found.target_losses.double(), losses.detach(), rtol=1e-5, atol=1e-6)
    assert not found.target_losses.requires_grad
    assert found.target_hits.sum().item() == sums["correct"]
    assert found.sums.tolist() == pytest.approx(list(sums.values()), rel=1e-5)
    for name in parts:
        torch.testing.assert_close(given_[name].grad, same[name].grad, rtol=1e-4, atol=1e-6, msg=name)


@settings(max_examples=40, deadline=None)
@given(
    targets=st.integers(0, 13),
    rows=st.integers(1, 14),
    objective=st.sampled_from(sorted(OBJECTIVES)),
    transform=st.sampled_from(sorted(TRANSFORMS)),
)
def test_how_rows_are_cut_changes_nothing(targets: int, rows: int, objective: str, transform: str) -> None:
    results = []
    for rows_at_a_time in (rows, 1000):
        values = numbers(torch.float64, targets)
        for name in ("hidden", "weight", "bias"):
            values[name].requires_grad_()
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(module.LOGITS_BYTES, "cpu", rows_at_a_time * VOCABULARY * 4)
            found = fused_loss(**values, objective=OBJECTIVES[objective], transform=TRANSFORMS[transform])
        found.loss.backward()
        gradients = [values[name].grad for name in ("hidden", "weight", "bias")]
        results.append([found.loss.detach(), found.target_losses, found.sums, *gradients])
    for cut, whole in zip(*results, strict=True):
        torch.testing.assert_close(cut, whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("frozen", ["hidden", "weight"])
def test_only_what_wants_a_gradient_gets_one(frozen: str) -> None:
    values, all_ = numbers(), numbers()
    wanted = {"hidden": "weight", "weight": "hidden"}[frozen]
    values[wanted].requires_grad_()
    for name in ("hidden", "weight"):
        all_[name].requires_grad_()
    with Shapes() as shapes:
        fused_loss(**values).loss.backward()
    fused_loss(**all_).loss.backward()
    torch.testing.assert_close(values[wanted].grad, all_[wanted].grad, rtol=0, atol=0)
    assert values[frozen].grad is None
    made = {tuple(shape) for shape in shapes.made}
    assert ((VOCABULARY, WIDTH) in made) == (wanted == "weight"), "no buffer for a frozen weight's gradient"


def test_a_shared_weight_gets_the_gradients_of_both_uses() -> None:
    values, same = numbers(), numbers()
    ids = torch.arange(TARGETS)
    found = values["weight"].requires_grad_()
    fused_loss(found[ids], found, None, values["targets"]).loss.backward()
    expected = same["weight"].requires_grad_()
    brute_force(expected[ids], expected, None, same["targets"], None, "nll", LogitTransform())[0].sum().backward()
    torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-6)


def test_without_gradients_the_numbers_are_the_same_and_none_are_formed() -> None:
    values = numbers()
    values["weight"].requires_grad_()
    with_gradients = fused_loss(**values)
    with torch.no_grad(), Shapes() as shapes:
        without = fused_loss(**values)
    assert not without.loss.requires_grad
    assert torch.equal(without.sums, with_gradients.sums)
    assert (VOCABULARY, WIDTH) not in {tuple(shape) for shape in shapes.made}


def test_without_targets_the_loss_is_a_zero_that_reaches_all_parameters() -> None:
    values = numbers(targets=0)
    for name in ("hidden", "weight", "bias"):
        values[name].requires_grad_()
    found = fused_loss(**values)
    found.loss.backward()
    assert found.loss.item() == 0.0
    assert found.sums.tolist() == [0.0] * module.NUM_SUMS
    assert found.target_losses.shape == (0,)
    assert values["hidden"].grad.shape == (0, WIDTH)
    assert not values["weight"].grad.any()
    assert not values["bias"].grad.any()


def test_of_equal_logits_the_lowest_id_counts_as_the_most_likely() -> None:
    weight = torch.ones(VOCABULARY, WIDTH)
    hits = [fused_loss(torch.ones(1, WIDTH), weight, None, torch.tensor([y])).sums[2].item() for y in range(3)]
    assert hits == [1.0, 0.0, 0.0]


def test_logits_too_large_for_exp_stay_finite() -> None:
    weight = torch.tensor([[1000.0], [0.0], [-1000.0]], requires_grad=True)
    found = fused_loss(torch.ones(2, 1), weight, None, torch.tensor([0, 1]))
    found.loss.backward()
    assert found.target_losses.tolist() == [0.0, 1000.0]
    assert weight.grad.tolist() == [[1.0], [-1.0], [0.0]]


def test_no_tensor_is_larger_than_a_chunk_of_logits_or_the_weight() -> None:
    values = numbers(targets=400)
    for name in ("hidden", "weight", "bias"):
        values[name].requires_grad_()
    with Shapes() as shapes:
        fused_loss(**values, transform=TRANSFORMS["softcap"]).loss.backward()
    of_logits = [shape for shape in shapes.made if VOCABULARY in shape]
    assert max(shape.numel() for shape in of_logits) <= max(2 * 4 * VOCABULARY, VOCABULARY * WIDTH)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("how", ["autocast", "weights"])
def test_bfloat16_is_close_to_float32(objective: str, how: str) -> None:
    """Close as its 8 bits allow: each logit and each state is rounded by up to 0.4 %."""
    exact, rough = numbers(), numbers(torch.bfloat16 if how == "weights" else torch.float32)
    for values in (exact, rough):
        for name in ("hidden", "weight", "bias"):
            values[name].requires_grad_()
    expected = fused_loss(**exact, objective=OBJECTIVES[objective])
    with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        found = fused_loss(**rough, objective=OBJECTIVES[objective])
    expected.loss.backward()
    found.loss.backward()
    assert found.loss.dtype == torch.float32
    assert found.loss.item() == pytest.approx(expected.loss.item(), rel=2e-2)
    for name in ("hidden", "weight", "bias"):
        assert rough[name].grad.dtype == rough[name].dtype
        difference = (rough[name].grad.float() - exact[name].grad).norm() / exact[name].grad.norm()
        assert difference < 3e-2, name


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpu_computes_what_a_cpu_computes(dtype: torch.dtype) -> None:
    results = []
    for device, precision in (("cpu", torch.float32), ("cuda", dtype)):
        values = {name: tensor.to(device) for name, tensor in numbers().items()}
        for name in ("hidden", "weight", "bias"):
            values[name] = values[name].to(precision).requires_grad_()
        found = fused_loss(**values)
        found.loss.backward()
        results.append([found.loss.detach().cpu(), *(values[n].grad.float().cpu() for n in ("hidden", "weight"))])
    for expected, found in zip(*results, strict=True):
        assert (found - expected).norm() / expected.norm() < (1e-5 if dtype == torch.float32 else 3e-2)


class Shapes(TorchDispatchMode):
    """Records the shape of every tensor that any operation makes, views left out."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[torch.Size] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not any(argument.alias_info is not None for argument in func._schema.returns):
            self.made.extend(part.shape for part in _tensors(result))
        return result


def _tensors(result: Any) -> Iterator[Tensor]:
    for part in result if isinstance(result, tuple | list) else [result]:
        if isinstance(part, Tensor):
            yield part
