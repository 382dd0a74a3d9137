"""What tells one model from another, and does not tell a model from itself."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sft_core.modeling import TOLERANCE, Probe, coarsest, difference, probe_logits


def logits(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 3


def test_equal_models_do_not_differ_and_unrelated_ones_by_the_root_of_two() -> None:
    one, other = [logits(0, 8, 1000)], [logits(1, 8, 1000)]
    assert difference(one, one) == 0
    assert difference(one, other) == pytest.approx(2**0.5, abs=0.03)


def test_a_shift_of_a_position_changes_no_probability_and_does_not_count() -> None:
    one = logits(0, 8, 100)
    assert difference([one], [one + logits(1, 8, 1)]) < 1e-6


def test_masked_logits_hide_no_difference() -> None:
    one = logits(0, 8, 100)
    other = one + 0.1 * logits(1, 8, 100)
    for mask in (float("-inf"), torch.finfo(torch.float32).min):
        masked, same = one.clone(), other.clone()
        masked[:, 90:] = same[:, 90:] = mask
        assert difference([masked], [same]) == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("broken", [logits(0, 8, 99), logits(0, 8, 100) * float("nan")], ids=["shape", "no number"])
def test_what_cannot_be_compared_is_infinitely_far(broken: Tensor) -> None:
    assert difference([logits(0, 8, 100)], [broken]) == float("inf")


def test_the_coarser_precision_counts() -> None:
    assert coarsest(["float32", "bfloat16", "float16"]) == "bfloat16"
    assert coarsest(["float32"]) == "float32"
    assert coarsest(["float8_e4m3fn"]) == "bfloat16"


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    probe = Probe([torch.tensor([1, 2, 3]), torch.tensor([4])], [logits(0, 3, 10), logits(1, 1, 10)], "float16")
    probe.write(tmp_path / "probe.safetensors")
    read = Probe.read(tmp_path / "probe.safetensors")
    assert read.precision == "float16"
    for one, other in ((read.texts, probe.texts), (read.logits, probe.logits)):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_rounding_to_16_bits_is_allowed_and_a_layer_less_is_not() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM, set_seed

    set_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=12, num_attention_heads=2)
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)  # so that the layers have something to say
    texts, cpu = [torch.arange(1, 40)], torch.device("cpu")
    whole = probe_logits(model, texts, cpu)
    rounded = difference(whole, probe_logits(model.to(torch.bfloat16), texts, cpu))
    assert TOLERANCE["float32"] < rounded < TOLERANCE["bfloat16"]
    del model.model.layers[5]
    assert difference(whole, probe_logits(model, texts, cpu)) > 2 * TOLERANCE["bfloat16"]
