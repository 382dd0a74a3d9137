"""Output projection and loss in one step: logits of a few rows at a time, which become gradients in place.

    for rows of hidden:                       V = 50,277, d = 128, 1,500 targets, float32:
        z = rows Wᵀ + b                       166 rows are 32 MB, all of them 302 MB
        p = softmax(z)                        loss, entropy and hits are read off z and p
        p[target] −= 1                        now ∂(−log p[target]) / ∂z
        gh = p W;  gW += pᵀ rows;  gb += Σ p  the backward pass only multiplies these with one number

Kept logits would need three times their own memory until the backward pass; made again there, a fourth product. Here
are the three products that nothing can spare, and between them three passes over the logits: argmax, softmax, p·z.
Weights, factors of the loss and the scale of the logits are one number per row, multiplied into [rows, d] and not into
[rows, V].
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sft_core.modeling.objective import LIKELIHOOD, Objective

NUM_SUMS = 6
"""Length of a vector of sums; its order is that of the fields of `TokenSums`."""

LOGITS_BYTES = {"cpu": 32 * 2**20, "cuda": 512 * 2**20}
"""Logits at a time, in float32: small enough for a CPU's cache, large enough for a GPU's products."""
_PRODUCT_BYTES = 256 * 2**20
"""Of a weight's gradient at a time, where a product cannot be added in place."""


@dataclass(frozen=True, slots=True)
class LogitTransform:
    """What a model does to the output z of its head: a·z, and where it has a soft-cap c, c·tanh(a·z / c)."""

    scale: float = 1.0
    softcap: float | None = None

    def apply_(self, logits: Tensor) -> Tensor:
        """Transform in place."""
        if self.softcap is not None:
            return logits.mul_(self.scale / self.softcap).tanh_().mul_(self.softcap)
        return logits if self.scale == 1.0 else logits.mul_(self.scale)

    def slopes_(self, logits: Tensor) -> Tensor:
        """Turn transformed logits, in place, into the soft-cap's derivative at a·z: 1 − tanh²."""
        assert self.softcap is not None, "without a soft-cap it is 1"
        return logits.div_(self.softcap).square_().neg_().add_(1.0)


class TargetLoss(NamedTuple):
    """The loss over targets, and what else the same logits tell."""

    loss: Tensor
    """The sum, a scalar with gradient."""
    target_losses: Tensor
    """[targets] float32, detached: what each target adds to `loss`."""
    target_hits: Tensor
    """[targets] bool: whether the target is the most likely token."""
    sums: Tensor
    """[NUM_SUMS] float64, detached."""


def fused_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor | None = None,
    objective: Objective = LIKELIHOOD,
    transform: LogitTransform = LogitTransform(),
) -> TargetLoss:
    """Project hidden states to logits and sum the loss over targets, without holding more logits than a chunk.

    With z the logits in front of a target y, p = softmax(z), w the target's weight, ε the label smoothing and V the
    size of the vocabulary, the `Objective`'s gradients are

        nll       w (p − (1 − ε) onehot_y − ε / V)
        dft       w p_y (p − onehot_y)

    and beside the loss are told

        nll       −log p_y
        entropy   −Σ p log p = logsumexp(z) − Σ p·z
        hit       argmax z = y; of equal logits the lowest id

    Products are made in the precision of autocast, else of the weight; all between them in float32, sums in float64.

    Args:
        hidden: [targets, d] the states that predict.
        weight: [vocabulary, d]
        bias: [vocabulary], or None.
        targets: [targets] ids.
        weights: [targets] w of each; None where all are 1.
        objective: What is minimized.
        transform: What the model does to its logits after the projection.

    Returns:
        The loss with a gradient for those of `hidden`, `weight` and `bias` that want one, for one backward pass;
        without targets a zero that is connected to the graph.
    """
    device = hidden.device.type
    compute = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    with torch.autocast(device, enabled=False):
        results = _FusedLoss.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, weights, objective, transform, compute, torch.is_grad_enabled()
        )
    return TargetLoss(*results)


def add_up(losses: Tensor, nll: Tensor, entropy: Tensor, hits: Tensor, weights: Tensor | None) -> Tensor:
    """Add up what is known of each target, [targets] all, into sums [NUM_SUMS] float64."""
    count = torch.full((), len(nll), dtype=torch.float64, device=nll.device)
    loss, total_nll, total_entropy, num_hits = (part.sum(dtype=torch.float64) for part in (losses, nll, entropy, hits))
    weight = count if weights is None else weights.sum(dtype=torch.float64)
    return torch.stack([loss, total_entropy, num_hits, count, weight, total_nll])


class _FusedLoss(torch.autograd.Function):
    """Forms its gradients in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        weights: Tensor | None,
        objective: Objective,
        transform: LogitTransform,
        compute: torch.dtype,
        with_gradients: bool,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        states, matrix = hidden.to(compute), weight.to(compute)
        wide = torch.promote_types(compute, torch.float32)
        needs = [with_gradients and wants for wants in ctx.needs_input_grad[:3]]
        gradients = _Gradients(hidden, weight, bias, needs, wide)
        told = torch.empty(4, len(targets), dtype=wide, device=hidden.device)
        buffers: Tensor | None = None
        smoothing = objective.label_smoothing
        for rows in _chunks(len(targets), len(weight), hidden.device.type):
            if buffers is None:
                buffers = torch.empty(2, rows.stop, len(weight), dtype=wide, device=hidden.device)
            logits, p = buffers[:, : rows.stop - rows.start]
            logits = _product(states[rows], matrix.t(), logits)
            if bias is not None:
                logits.add_(bias)
            transform.apply_(logits)
            y = targets[rows, None]
            log_total, nll, entropy, hits = _tell(logits, p, y)
            p_y = p.gather(-1, y)
            factors = torch.ones_like(p_y) if objective.loss_type == "nll" else p_y
            if weights is not None:
                factors = factors * weights[rows, None]
            losses = nll
            if smoothing:
                losses = (1 - smoothing) * nll + smoothing * (log_total - logits.mean(-1, keepdim=True))
            told[:, rows] = torch.cat([factors * losses, nll, entropy, hits.to(wide)], dim=1).t()
            if any(needs):
                p.scatter_(-1, y, p_y - (1 - smoothing))
                if smoothing:
                    p.sub_(smoothing / len(weight))
                if transform.softcap is not None:
                    p.mul_(transform.slopes_(logits))
                gradients.add(rows, p, factors * transform.scale, states[rows], matrix)
        ctx.gradients = gradients
        losses, nll, entropy, hits = told
        loss, target_losses, target_hits = losses.sum(dtype=torch.float64).to(wide), losses.float(), hits.bool()
        sums = add_up(losses, nll, entropy, hits, weights)
        ctx.mark_non_differentiable(target_losses, target_hits, sums)
        ctx.set_materialize_grads(False)
        return loss, target_losses, target_hits, sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        assert gradients is not None, "gradients are handed over by the first backward pass"
        return *gradients.times_(grad), *[None] * 6


class _Gradients:
    """The needed gradients of the summed loss, in float32: a loss scale comes before any rounding to 16 bits."""

    def __init__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor | None, needs: list[bool], wide: torch.dtype
    ) -> None:
        self._dtypes = [hidden.dtype, weight.dtype, None if bias is None else bias.dtype]
        self._hidden, self._weight, self._bias = (
            torch.zeros(part.shape, dtype=wide, device=part.device) if part is not None and is_needed else None
            for part, is_needed in zip((hidden, weight, bias), needs, strict=True)
        )

    def add(self, rows: slice, slopes: Tensor, factors: Tensor, states: Tensor, matrix: Tensor) -> None:
        """Add those of a chunk.

        Args:
            rows: Which targets these are.
            slopes: [rows, vocabulary] ∂loss / ∂(a·z) of a target that counts 1.
            factors: [rows, 1] by which each row counts.
            states: [rows, d]
            matrix: [vocabulary, d]
        """
        narrow = slopes.to(matrix.dtype)
        if self._hidden is not None:
            part = self._hidden[rows]
            torch.mul(_product(narrow, matrix, part), factors, out=part)
        if self._weight is not None:
            _add_product(self._weight, narrow.t(), (states * factors).to(matrix.dtype))
        if self._bias is not None:
            self._bias.addmv_(slopes.t(), factors.squeeze(-1))

    def times_(self, scale: Tensor | None) -> Iterator[Tensor | None]:
        """Multiply in place, and give each in the precision of what it belongs to."""
        for gradient, dtype in zip((self._hidden, self._weight, self._bias), self._dtypes, strict=True):
            yield None if gradient is None or scale is None else gradient.mul_(scale).to(dtype)


def _chunks(num_targets: int, vocabulary: int, device: str) -> Iterator[slice]:
    """Cut into as few chunks as the bound allows, all of about the same size."""
    most_rows = max(LOGITS_BYTES.get(device, LOGITS_BYTES["cuda"]) // (4 * vocabulary), 1)
    rows = math.ceil(num_targets / max(math.ceil(num_targets / most_rows), 1))
    return (slice(start, min(start + rows, num_targets)) for start in range(0, num_targets, max(rows, 1)))


def _tell(logits: Tensor, p: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fill `p` with softmax(logits), and tell logsumexp, −log p_y, entropy and hits, each [rows, 1], of targets
    [rows, 1]."""
    top = logits.argmax(-1, keepdim=True)
    torch.softmax(logits, -1, out=p)
    log_total = logits.gather(-1, top) - p.gather(-1, top).log()  # the largest p is never near 0
    entropy = log_total - torch.linalg.vecdot(p, logits).unsqueeze(-1)
    return log_total, log_total - logits.gather(-1, targets), entropy, top == targets


def _product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """a @ b as precise as the device can give it; it may lie in `out`."""
    if a.dtype == out.dtype:
        return torch.mm(a, b, out=out)
    if _sums_in_float32(a):
        return torch.mm(a, b, out_dtype=torch.float32)
    return out.copy_(a @ b)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """total += a @ b"""
    if a.dtype == total.dtype:
        total.addmm_(a, b)
        return
    rows = max(_PRODUCT_BYTES // (4 * b.shape[1]), 1)
    for start in range(0, len(total), rows):
        part, some = total[start : start + rows], a[start : start + rows]
        part.add_(torch.mm(some, b, out_dtype=torch.float32) if _sums_in_float32(a) else some @ b)


def _sums_in_float32(a: Tensor) -> bool:
    """Whether a product of this 16-bit tensor can come in float32, as it was summed."""
    return a.is_cuda and torch.version.cuda is not None
