"""Activations that went to the host and came back give the same gradients."""

import contextlib
from typing import Any

import pytest
import torch

from sft_core.modeling import choose_trained, offload_activations
from sft_core.modeling.offloading import MIN_BYTES, HostCopies

from .tiny_models import rows, tiny_model


def gradients(part: dict[str, Any], checkpointing: bool, is_forced: bool) -> tuple[dict[str, torch.Tensor], int]:
    model = choose_trained(tiny_model(), **part)
    if checkpointing:
        model.activation_checkpointing_enable()
    copies = HostCopies([*model.parameters(), *model.buffers()])
    ids, positions = rows()
    with copies.hooks() if is_forced else contextlib.nullcontext():
        loss = model.train()(input_ids=ids, position_ids=positions, use_cache=False).logits.logsumexp(-1).sum()
    loss.backward()
    found = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad}
    return found, copies.bytes_moved


@pytest.mark.parametrize("part", [{"peft": {}}, {"peft": {"peft_type": "LORA"}}], ids=["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_without_it(part: dict[str, Any], checkpointing: bool) -> None:
    plain, nothing = gradients(part, checkpointing, is_forced=False)
    moved, num_bytes = gradients(part, checkpointing, is_forced=True)
    assert nothing == 0 < num_bytes
    assert plain.keys() == moved.keys()
    assert all(torch.equal(moved[name], gradient) for name, gradient in plain.items())


def test_checkpoints_leave_little_to_move() -> None:
    assert 0 < 2 * gradients({"peft": {}}, True, True)[1] < gradients({"peft": {}}, False, True)[1]


@pytest.mark.parametrize(
    ("tensor", "is_moved"),
    [
        (torch.ones(MIN_BYTES // 4), True),
        (torch.ones(MIN_BYTES // 4 - 1), False),
        (torch.ones(1).expand(MIN_BYTES), False),
    ],
    ids=["large", "small", "expanded"],
)
def test_what_is_moved(tensor: torch.Tensor, is_moved: bool) -> None:
    copies = HostCopies([])
    with copies.hooks():
        (torch.ones(1, requires_grad=True) * tensor).sum().backward()
    assert (copies.bytes_moved > 0) == is_moved


def test_weights_and_their_views_stay() -> None:
    weight = torch.nn.Parameter(torch.ones(64, 64))
    copies = HostCopies([weight])
    with copies.hooks():
        result = torch.ones(1, 64, requires_grad=True) @ weight.T
    result.sum().backward()
    assert copies.bytes_moved == 0


def test_autocasts_copies_of_weights_stay() -> None:
    layer, copies = torch.nn.Linear(64, 128, bias=False), HostCopies([])
    informed = HostCopies(layer.parameters())
    for found in (copies, informed):
        with torch.autocast("cpu", torch.bfloat16), found.hooks():
            result = layer(torch.ones(7, 64, requires_grad=True).exp())
        result.sum().backward()
    assert copies.bytes_moved - informed.bytes_moved == 64 * 128 * 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_memory_is_freed_and_gradients_are_the_same() -> None:
    def step(is_offloading: bool) -> tuple[list[torch.Tensor], int]:
        model = tiny_model(num_hidden_layers=8, hidden_size=256, intermediate_size=1024).cuda()
        ids = torch.ones(16, 512, dtype=torch.long, device="cuda")
        before = torch.cuda.memory_allocated()
        with offload_activations(model, torch.device("cuda")) if is_offloading else contextlib.nullcontext():
            loss = model.train()(input_ids=ids, use_cache=False).logits.logsumexp(-1).mean()
        torch.cuda.synchronize()
        held = torch.cuda.memory_allocated() - before
        loss.backward()
        return [parameter.grad for parameter in model.parameters()], held

    (plain, held), (moved, held_after) = step(False), step(True)
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(plain, moved, strict=True))
    assert held_after < held / 4


def test_on_a_cpu_nothing_is_done_and_it_is_said() -> None:
    with pytest.warns(UserWarning, match="there is no GPU"):
        context = offload_activations(tiny_model(), torch.device("cpu"))
    assert isinstance(context, contextlib.nullcontext)
