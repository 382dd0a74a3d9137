"""Output projection and loss in one step, in chunks of rows whose logits are turned into gradients in place.

    for rows of hidden:                       V = 50,277, d = 128, 1,500 targets, float32:
        z = rows Wᵀ + b                       166 rows are 32 MB, all of them 302 MB
        p = softmax(z)                        loss, entropy and hits are computed from z and p
        p[target] −= 1                        now ∂(−log p[target]) / ∂z
        gh = p W;  gW += pᵀ rows;  gb += Σ p  the backward pass only scales these by one number

Keeping all logits until the backward pass would take three times their memory; recomputing them there would take a
fourth matrix product. Here only the three necessary products are computed, and between them three passes over the
logits: argmax, softmax, p·z. Weights, factors of the loss and the scale of the logits are one number per row, and are
multiplied into [rows, d] instead of [rows, V].
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sft_core.modeling.objective import LIKELIHOOD, Objective

NUM_SUMS = 6
"""Length of a vector of sums, in the order of the fields of `TokenSums`."""

LOGITS_BYTES = {"cpu": 32 * 2**20, "cuda": 512 * 2**20}
"""Device type → bytes of float32 logits per chunk: small enough for a CPU's cache, large enough for a GPU's matrix
products."""
_PRODUCT_BYTES = 256 * 2**20
"""Bytes of a weight's gradient per chunk, if a product cannot be added in place."""


@dataclass(frozen=True, slots=True)
class LogitTransform:
    """Transform that a model applies to the output z of its head: a·z, or with a soft-cap c, c·tanh(a·z / c)."""

    scale: float = 1.0
    softcap: float | None = None

    def apply_(self, logits: Tensor) -> Tensor:
        """Transform logits in place."""
        if self.softcap is not None:
            return logits.mul_(self.scale / self.softcap).tanh_().mul_(self.softcap)
        return logits if self.scale == 1.0 else logits.mul_(self.scale)

    def slopes_(self, logits: Tensor) -> Tensor:
        """Turn transformed logits, in place, into the soft-cap's derivative at a·z: 1 − tanh²."""
        assert self.softcap is not None, "without a soft-cap the slope is 1"
        return logits.div_(self.softcap).square_().neg_().add_(1.0)


class TargetLoss(NamedTuple):
    """Loss over targets, and the metrics computed from the same logits."""

    loss: Tensor
    """Sum over targets, a scalar with gradient."""
    target_losses: Tensor
    """[targets] float32, detached: each target's contribution to `loss`."""
    target_hits: Tensor
    """[targets] bool: whether the target is the most likely token."""
    sums: Tensor
    """[NUM_SUMS] float64, detached: the sums of `TokenSums`."""


def fused_loss(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    weights: Tensor | None = None,
    objective: Objective = LIKELIHOOD,
    transform: LogitTransform = LogitTransform(),
) -> TargetLoss:
    """Project hidden states to logits and sum the loss over targets, with the logits of only one chunk in memory.

    With z the logits that predict a target y, p = softmax(z), w the target's weight, ε the label smoothing and V the
    size of the vocabulary, the `Objective`'s gradients are

        nll       w (p − (1 − ε) onehot_y − ε / V)
        dft       w p_y (p − onehot_y)

    and the following are returned as well:

        nll       −log p_y
        entropy   −Σ p log p = logsumexp(z) − Σ p·z
        hit       argmax z = y; of equal logits, the lowest id counts

    Matrix products are computed in the precision of autocast, or without it, of the weight; everything else in float32,
    and sums in float64.

    Args:
        hidden: [targets, d] hidden states that predict the targets.
        weight: [vocabulary, d]
        bias: [vocabulary], or None.
        targets: [targets] token ids.
        weights: [targets] w of each target; None if all are 1.
        objective: The loss per target.
        transform: The model's transform of its logits after the projection.

    Returns:
        The loss, with gradients for those of `hidden`, `weight` and `bias` that require one, for a single backward
        pass. Without targets, it is a zero that is connected to the graph.
    """
    device = hidden.device.type
    compute = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    with torch.autocast(device, enabled=False):
        results = _FusedLoss.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, weights, objective, transform, compute, torch.is_grad_enabled()
        )
    return TargetLoss(*results)


def add_up(losses: Tensor, nll: Tensor, entropy: Tensor, hits: Tensor, weights: Tensor | None) -> Tensor:
    """Sum the values of all targets, each [targets], into [NUM_SUMS] float64."""
    count = torch.full((), len(nll), dtype=torch.float64, device=nll.device)
    loss, total_nll, total_entropy, num_hits = (part.sum(dtype=torch.float64) for part in (losses, nll, entropy, hits))
    weight = count if weights is None else weights.sum(dtype=torch.float64)
    return torch.stack([loss, total_entropy, num_hits, count, weight, total_nll])


class _FusedLoss(torch.autograd.Function):
    """Autograd function that computes its gradients in the forward pass."""

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
        values = torch.empty(4, len(targets), dtype=wide, device=hidden.device)
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
            log_total, nll, entropy, hits = _measure(logits, p, y)
            p_y = p.gather(-1, y)
            factors = torch.ones_like(p_y) if objective.loss_type == "nll" else p_y
            if weights is not None:
                factors = factors * weights[rows, None]
            losses = nll
            if smoothing:
                losses = (1 - smoothing) * nll + smoothing * (log_total - logits.mean(-1, keepdim=True))
            values[:, rows] = torch.cat([factors * losses, nll, entropy, hits.to(wide)], dim=1).t()
            if any(needs):
                p.scatter_(-1, y, p_y - (1 - smoothing))
                if smoothing:
                    p.sub_(smoothing / len(weight))
                if transform.softcap is not None:
                    p.mul_(transform.slopes_(logits))
                gradients.add(rows, p, factors * transform.scale, states[rows], matrix)
        ctx.gradients = gradients
        losses, nll, entropy, hits = values
        loss, target_losses, target_hits = losses.sum(dtype=torch.float64).to(wide), losses.float(), hits.bool()
        sums = add_up(losses, nll, entropy, hits, weights)
        ctx.mark_non_differentiable(target_losses, target_hits, sums)
        ctx.set_materialize_grads(False)
        return loss, target_losses, target_hits, sums

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        assert gradients is not None, "only one backward pass is possible"
        return *gradients.times_(grad), *[None] * 6


class _Gradients:
    """Required gradients of the summed loss, in float32, so that a loss scale is applied before rounding to 16 bits."""

    def __init__(
        self, hidden: Tensor, weight: Tensor, bias: Tensor | None, needs: list[bool], wide: torch.dtype
    ) -> None:
        self._dtypes = [hidden.dtype, weight.dtype, None if bias is None else bias.dtype]
        self._hidden, self._weight, self._bias = (
            torch.zeros(part.shape, dtype=wide, device=part.device) if part is not None and is_needed else None
            for part, is_needed in zip((hidden, weight, bias), needs, strict=True)
        )

    def add(self, rows: slice, slopes: Tensor, factors: Tensor, states: Tensor, matrix: Tensor) -> None:
        """Add the gradients of a chunk.

        Args:
            rows: Slice of the targets in this chunk.
            slopes: [rows, vocabulary] ∂loss / ∂(a·z), without the factors.
            factors: [rows, 1] factor of each row.
            states: [rows, d] hidden states.
            matrix: [vocabulary, d] weight.
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
        """Multiply all gradients in place, and yield each in the dtype of its tensor."""
        for gradient, dtype in zip((self._hidden, self._weight, self._bias), self._dtypes, strict=True):
            yield None if gradient is None or scale is None else gradient.mul_(scale).to(dtype)


def _chunks(num_targets: int, vocabulary: int, device: str) -> Iterator[slice]:
    """Cut the targets into as few chunks as `LOGITS_BYTES` allows, all of about the same size."""
    most_rows = max(LOGITS_BYTES.get(device, LOGITS_BYTES["cuda"]) // (4 * vocabulary), 1)
    rows = math.ceil(num_targets / max(math.ceil(num_targets / most_rows), 1))
    return (slice(start, min(start + rows, num_targets)) for start in range(0, num_targets, max(rows, 1)))


def _measure(logits: Tensor, p: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Fill `p` with softmax(logits), and return logsumexp, −log p_y, entropy and hits, each [rows, 1], for targets y
    [rows, 1]."""
    top = logits.argmax(-1, keepdim=True)
    torch.softmax(logits, -1, out=p)
    log_total = logits.gather(-1, top) - p.gather(-1, top).log()  # the largest p is never near 0
    entropy = log_total - torch.linalg.vecdot(p, logits).unsqueeze(-1)
    return log_total, log_total - logits.gather(-1, targets), entropy, top == targets


def _product(a: Tensor, b: Tensor, out: Tensor) -> Tensor:
    """Return a @ b with the highest precision that the device offers. The result may use the memory of `out`."""
    if a.dtype == out.dtype:
        return torch.mm(a, b, out=out)
    if _sums_in_float32(a):
        return torch.mm(a, b, out_dtype=torch.float32)
    return out.copy_(a @ b)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    if a.dtype == total.dtype:
        total.addmm_(a, b)
        return
    rows = max(_PRODUCT_BYTES // (4 * b.shape[1]), 1)
    for start in range(0, len(total), rows):
        part, some = total[start : start + rows], a[start : start + rows]
        part.add_(torch.mm(some, b, out_dtype=torch.float32) if _sums_in_float32(a) else some @ b)


def _sums_in_float32(a: Tensor) -> bool:
    """Return whether a product of this 16-bit tensor can be returned in float32, in which it is accumulated."""
    return a.is_cuda and torch.version.cuda is not None
