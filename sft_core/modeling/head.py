"""A model's output projection, replaced by the fused step while the model runs.

    model(…)  →  body  →  hidden [blocks, tokens, d]  →  head  →  what the model does to its logits
                                                          └ here: choose the positions that predict a target, make
                                                            the loss, and return a zero that is connected to it

The head is still called as the module that it is, so hooks that gather a sharded weight around it work, and its zero
travels through the model's output, where DDP and FSDP look for the graph.

The loss has to know what the model would have done to the logits: Cohere multiplies, Granite divides, Gemma has a
soft-cap. Configurations name this in many ways, so it is measured: the head returns known numbers, and what comes out
as logits tells scale and soft-cap. Where these do not explain all of it, or where the head is more than one plain
`Linear` (LoRA on it, quantized), nothing is replaced: the model makes its own logits, at positions of targets alone.
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
"""Where tanh is its argument, and where it is 1."""
_PROBES = (_SMALL, _LARGE, 0.0, *(sign * 1.7**power for power in range(-8, 14) for sign in (1.0, -1.0)))
_RTOL = 2e-6
"""A few roundings of float32."""


@dataclass(frozen=True, slots=True)
class Targets:
    """What is to be predicted, and where."""

    predicts: Tensor
    """[blocks, tokens] whether the position predicts a target."""
    ids: Tensor
    """[targets] in the order of the positions."""
    weights: Tensor | None
    """[targets]; None where all are 1."""


class Head:
    """The output projection of one model."""

    def __init__(self, module: nn.Module, linear: nn.Linear | None, transform: LogitTransform) -> None:
        self.module = module
        self.linear = linear
        """Whose place the fused step takes; None where it cannot."""
        self.transform = transform
        self._call: tuple[Targets, Objective] | None = None
        self._result: TargetLoss | None = None
        # One object for all calls, so that a compiled model is not compiled anew.
        self._forward = torch.compiler.disable(self._fused)  # type: ignore[no-untyped-call]

    @classmethod
    def measure(cls, model: nn.Module, inputs: dict[str, Any]) -> "Head":
        """Find the head of a model and measure what the model does to its output.

        Runs the model on two tokens, without gradients, and leaves the random state as it was; on all of the inputs
        where some of them are not one number per token. With a sharded model all processes do so together.

        Args:
            model: As it is trained, perhaps wrapped for several processes.
            inputs: `input_ids` [blocks, tokens], and what else the model takes.

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
        """Run the model with the loss in the place of its head.

        Returns:
            The loss, and the model's outputs; their logits are not logits.
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
        """Make the loss of hidden states [blocks, tokens, d], and return a zero that is connected to it."""
        assert self._call is not None, "only within `run`"
        assert self.linear is not None, "only put into the place of one"
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

    The choice is made in front of the projection, so that whatever a model does to its logits stays its own.

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
            f"model: its head gets states {list(hidden.shape[:-1])} for {list(predicts.shape)} tokens; a model that "
            "adds or drops positions cannot be trained on given targets"
        )
    return predicts


def _whole(parameter: Tensor) -> Tensor:
    """A parameter that is still sharded where it is used, whole."""
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter


def _is_plain(module: nn.Module) -> TypeGuard[nn.Linear]:
    """Whether this is x Wᵀ + b and nothing else: no subclass with a forward of its own, none put on the object."""
    return isinstance(module, nn.Linear) and type(module).forward is nn.Linear.forward and "forward" not in vars(module)


def _plain_parts(head: nn.Module) -> list[nn.Linear]:
    """The plain layers of a head; none where it has weights beside them. Many an adapter on the head (IA³, VeRA, LoHa)
    begins as if it was not there, which measuring cannot tell, and is no longer after the first step."""
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
    """Let the candidates return known numbers: which of them is the head, and what becomes of its output?"""
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
    """The transform that makes all logits [..., vocabulary] of the numbers [vocabulary]; None if there is none."""
    small, large = logits.reshape(-1, logits.shape[-1])[0, :2].tolist()
    scale = small / _SMALL
    is_capped = abs(large - scale * _LARGE) > _RTOL * abs(scale * _LARGE)
    transform = LogitTransform(scale, large if is_capped else None)
    if scale == 0.0 or large == 0.0:
        return None
    expected = transform.apply_(numbers.clone()).expand_as(logits)
    return transform if torch.allclose(logits, expected, rtol=_RTOL, atol=0.0) else None
