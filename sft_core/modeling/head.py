"""Replacement of a model's output projection by the fused loss while the model runs.

    model(…)  →  body  →  hidden [blocks, tokens, d]  →  head  →  the model's transform of its logits
                                                          └ replaced: select the positions that predict a target,
                                                            compute the loss, and return a zero that is connected to it

The head is still called as a module, so hooks that gather a sharded weight around it work. Its zero is part of the
model's output, where DDP and FSDP look for the graph.

The loss has to apply the model's own transform of the logits: Cohere multiplies, Granite divides, Gemma has a soft-cap.
Configurations name this in many ways, so it is measured: the head returns known numbers, and the logits that come out
of the model give scale and soft-cap. If these do not explain all logits, or if the head is more than one plain `Linear`
(with LoRA, or quantized), nothing is replaced: the model computes its own logits, but only at positions of targets.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import torch
from accelerate.utils import extract_model_from_parallel
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sft_core.errors import RecipeError
from sft_core.modeling.fused_loss import LogitTransform, TargetLoss, fused_loss
from sft_core.modeling.objective import Objective
from sft_core.modeling.token_sums import sum_over_targets

_SMALL, _LARGE = 2.0**-20, 2.0**60
"""Arguments at which tanh(x) is x, and at which it is 1."""
_PROBES = (_SMALL, _LARGE, 0.0, *(sign * 1.7**power for power in range(-8, 14) for sign in (1.0, -1.0)))
_RTOL = 2e-6
"""Relative tolerance: a few rounding errors of float32."""


@dataclass(frozen=True, slots=True)
class Targets:
    """Target tokens of a batch, and the positions that predict them."""

    predicts: Tensor
    """[blocks, tokens] True where a position predicts a target."""
    ids: Tensor
    """[targets] token ids in the order of the positions."""
    weights: Tensor | None
    """[targets] weights; None if all are 1."""


class Head:
    """Output projection of one model, and the transform of its logits."""

    def __init__(self, module: nn.Module, linear: nn.Linear | None, transform: LogitTransform) -> None:
        self.module = module
        self.linear = linear
        """Layer that is replaced by the fused loss; None if it cannot be replaced."""
        self.transform = transform
        self._call: tuple[Targets, Objective] | None = None
        self._result: TargetLoss | None = None
        # One object for all calls, so that a compiled model is not recompiled.
        self._forward = torch.compiler.disable(self._fused)  # type: ignore[no-untyped-call]

    @classmethod
    def measure(cls, model: nn.Module, inputs: dict[str, Any]) -> "Head":
        """Find the head of a model and measure how the model transforms its output.

        The model runs on two tokens without gradients, or on all inputs if some of them do not have one number per
        token. The random state is restored. With a sharded model, all processes have to call this together.

        Args:
            model: The model, which may be wrapped for several processes.
            inputs: `input_ids` [blocks, tokens], and all other inputs of the model.

        Raises:
            RecipeError: if the model has no output projection.
        """
        inner = extract_model_from_parallel(model, keep_torch_compile=False, recursive=True)
        module = inner.get_output_embeddings()
        if module is None:
            raise RecipeError(f"model: {type(inner).__name__} has no output projection, so it predicts no tokens")
        plain = _plain_parts(module)
        linear, transform = _probe(model, _few_tokens(inputs), plain) if plain else (None, LogitTransform())
        return cls(module, linear, transform)

    def run(
        self, model: nn.Module, inputs: dict[str, Any], targets: Targets, objective: Objective
    ) -> tuple[TargetLoss, Any]:
        """Run the model with its head replaced by the loss.

        Returns:
            The loss, and the model's outputs, whose `logits` must not be used.
        """
        if self.linear is None:
            outputs = forward_at_targets(model, self.module, inputs, targets.predicts)
            return sum_over_targets(outputs.logits, targets.ids, targets.weights, objective), outputs
        self._call, self._result = (targets, objective), None
        try:
            with _replaced_forward(self.linear, self._forward):
                outputs = model(**inputs, use_cache=False)
            result = self._result
        finally:
            self._call = self._result = None
        assert result is not None, "the head was called when it was measured"
        return result._replace(loss=result.loss + outputs.logits.sum()), outputs

    def _fused(self, hidden: Tensor) -> Tensor:
        """Compute the loss from hidden states [blocks, tokens, d], and return a zero that is connected to it."""
        assert self._call is not None, "only within `run`"
        assert self.linear is not None, "only called if a layer was replaced"
        targets, objective = self._call
        self._result = fused_loss(
            hidden[_checked(targets.predicts, hidden)],
            _whole(self.linear.weight),
            None if self.linear.bias is None else _whole(self.linear.bias),
            targets.ids,
            targets.weights,
            objective,
            self.transform,
        )
        return (self._result.loss * 0).nan_to_num(0.0).reshape(1, 1, 1)


def forward_at_targets(model: nn.Module, head: nn.Module, inputs: dict[str, Any], predicts: Tensor) -> Any:
    """Run the model, and its head only at the positions [blocks, tokens] that predict a target.

    The positions are selected before the projection, so the model's own transform of the logits still applies.

    Returns:
        The model's outputs, with logits [targets, vocabulary].
    """
    hook = head.register_forward_pre_hook(lambda _, args: (args[0][_checked(predicts, args[0])], *args[1:]))
    try:
        return model(**inputs, use_cache=False)
    finally:
        hook.remove()


def _checked(predicts: Tensor, hidden: Tensor) -> Tensor:
    if hidden.shape[:-1] != predicts.shape:
        raise RecipeError(
            f"model: its head gets hidden states {list(hidden.shape[:-1])} for {list(predicts.shape)} tokens; a model "
            "that adds or drops positions cannot be trained on given targets"
        )
    return predicts


def _whole(parameter: Tensor) -> Tensor:
    """Gather a parameter if it is still sharded when it is used."""
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter


def _is_plain(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Return whether a module only computes x Wᵀ + b: neither its class nor the object overrides `forward`."""
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward and "forward" not in vars(module)


def _plain_parts(head: nn.Module) -> list[nn.Linear]:
    """Return the plain linear layers of a head, or nothing if it has other weights as well.

    Many adapters on the head (IA³, VeRA, LoHa) have no effect at first, so measuring cannot detect them, but they do
    after the first step.
    """
    parts = [part for part in head.modules() if _is_plain(part)]
    weights = {weight for part in parts for weight in part.parameters()}
    return parts if weights.issuperset(head.parameters()) else []


@contextmanager
def _replaced_forward(module: nn.Module, forward: Any) -> Iterator[None]:
    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _few_tokens(inputs: dict[str, Any]) -> dict[str, Any]:
    shape = inputs["input_ids"].shape
    can_be_cut = all(isinstance(part, Tensor) and part.shape == shape for part in inputs.values())
    return {name: part[:1, :2] for name, part in inputs.items()} if can_be_cut else inputs


@torch.no_grad()
def _probe(
    model: nn.Module, inputs: dict[str, Any], candidates: list[nn.Linear]
) -> tuple[nn.Linear | None, LogitTransform]:
    """Run the model with candidates that return known numbers, and return the head among them with its transform."""
    called: list[tuple[nn.Linear, Tensor]] = []

    def probing(linear: nn.Linear) -> Any:
        def forward(hidden: Tensor) -> Tensor:
            numbers = torch.tensor(_PROBES, device=hidden.device).repeat(-(-len(linear.weight) // len(_PROBES)))
            called.append((linear, numbers[: len(linear.weight)]))
            return called[-1][1].clone().reshape(1, 1, -1)

        return forward

    device = inputs["input_ids"].device
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        for linear in candidates:
            stack.enter_context(_replaced_forward(linear, probing(linear)))
        logits = model(**inputs, use_cache=False).logits
    if len(called) != 1 or logits.shape[-1] != len(called[0][1]):
        return None, LogitTransform()
    linear, numbers = called[0]
    transform = _fit(logits.float(), numbers)
    return (None, LogitTransform()) if transform is None else (linear, transform)


def _fit(logits: Tensor, numbers: Tensor) -> LogitTransform | None:
    """Return the transform that maps the numbers [vocabulary] to all logits [..., vocabulary]; None if none does."""
    small, large = logits.reshape(-1, logits.shape[-1])[0, :2].tolist()
    scale = small / _SMALL
    is_capped = abs(large - scale * _LARGE) > _RTOL * abs(scale * _LARGE)
    transform = LogitTransform(scale, large if is_capped else None)
    if scale == 0.0 or large == 0.0:
        return None
    expected = transform.apply_(numbers.clone()).expand_as(logits)
    return transform if torch.allclose(logits, expected, rtol=_RTOL, atol=0.0) else None
