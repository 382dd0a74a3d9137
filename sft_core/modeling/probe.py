"""A few texts and what a model makes of them: by these a stored model is known to be the one that was trained.

    probe.safetensors    input_ids.0 [tokens] int64, logits.0 [positions, vocabulary] float32: those of the last tokens
                         input_ids.1 …
                         precision = float32: of the arithmetic that made them

Two models are compared by how far their logits lie apart, as a share of how far the expected ones are spread: 0 for
equal ones, about 1.4 for two that have nothing to do with each other. Where a layer is missing, random or permuted it
is 0.01 to 1; what remains between equal weights is the rounding of the arithmetic, which `TOLERANCE` allows. Weights
that are stored in 16 bits are computed in 16 bits after loading, so the coarser of both precisions counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sft_core.modeling.batches import Blocks

MAX_TEXTS, MAX_TOKENS, MAX_POSITIONS = 2, 64, 8
"""At 150,000 logits a position: 10 MB, and two short forward passes."""
TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""By precision, finest first. float32 leaves room for another device and for the sums that merging an adapter reorders;
float16 is also what TF32 rounds to."""
FAR_BELOW = 50.0
"""Logits that are so much below the greatest (e⁻⁵⁰ of its probability) are masks, and do not count as spread."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Texts and a model's logits at their last tokens."""

    texts: list[Tensor]
    """[texts] of [tokens] int64."""
    logits: list[Tensor]
    """[texts] of [positions, vocabulary] float32, on the CPU."""
    precision: str
    """A key of `TOLERANCE`."""

    def write(self, file: Path) -> None:
        """Write it as safetensors."""
        texts = {f"input_ids.{number}": text for number, text in enumerate(self.texts)}
        logits = {f"logits.{number}": part.contiguous() for number, part in enumerate(self.logits)}
        save_file({**texts, **logits}, str(file), {"precision": self.precision})

    @classmethod
    def read(cls, file: Path) -> "Probe":
        """Read what `write` wrote."""
        with safe_open(str(file), "pt") as tensors:
            count = len(tensors.keys()) // 2
            texts, logits = (
                [tensors.get_tensor(f"{name}.{number}") for number in range(count)] for name in ("input_ids", "logits")
            )
            return cls(texts, logits, tensors.metadata()["precision"])


def probe_texts(blocks: Blocks) -> list[Tensor]:
    """The beginnings of the first documents of a data set: [texts] of [tokens] int64."""
    texts: list[Tensor] = []
    for number in range(min(len(blocks), MAX_TEXTS)):
        block = blocks[number]
        ids = torch.from_numpy(block["input_ids"])
        texts += [text[:MAX_TOKENS] for text in torch.split(ids, block["seq_lengths"].tolist())]
    return [text.clone() for text in texts[:MAX_TEXTS]]


@torch.no_grad()
def probe_logits(model: Any, texts: Sequence[Tensor], device: torch.device) -> list[Tensor]:
    """Ask a model, in evaluation mode, text by text: without padding, masks or a cache. Of a model whose weights are
    spread over processes, all of them ask."""
    answers = [model(input_ids=text[None].to(device), use_cache=False).logits for text in texts]
    counts = [min(len(text), MAX_POSITIONS) for text in texts]
    return [logits[0, -count:].float().cpu() for logits, count in zip(answers, counts, strict=True)]


def coarsest(precisions: Sequence[str]) -> str:
    """The precision that rounds most; one that is not known counts as the coarsest."""
    order = list(TOLERANCE)
    return max((name if name in TOLERANCE else order[-1] for name in precisions), key=order.index)


def difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """How far two models' logits lie apart, as a share of the spread of the expected ones.

    √(Σ (found − expected)² / Σ (expected − its mean)²) over all logits that are not masked, each position shifted to a
    mean of 0: a shift of all logits changes no probability.

    Returns:
        0 or more; infinity if shapes differ or a logit is no number.
    """
    if [part.shape for part in expected] != [part.shape for part in found]:
        return float("inf")
    apart = spread = 0.0
    for theirs, ours in zip(expected, found, strict=True):
        counts = theirs > theirs.max(-1, keepdim=True).values - FAR_BELOW
        ours, theirs = _centred(ours.double(), counts), _centred(theirs.double(), counts)
        apart += float((ours - theirs).square().sum())
        spread += float(theirs.square().sum())
    share = (apart / max(spread, torch.finfo(torch.float64).tiny)) ** 0.5
    return share if share == share else float("inf")


def _centred(logits: Tensor, counts: Tensor) -> Tensor:
    kept = logits.where(counts, 0.0)
    return (kept - kept.sum(-1, keepdim=True) / counts.sum(-1, keepdim=True)).where(counts, 0.0)
