"""A few texts and what a model makes of them: by these a stored model is known to be the one that was trained.

    probe.safetensors    input_ids.0 [tokens] int64, logits.0 [positions, vocabulary] float32: those of the last tokens
                         images.0.pixel_values …, where the text has images: what the model sees of them
                         input_ids.1 …
                         precision = float32: of the arithmetic that made them

Two models are compared by how far their logits lie apart, as a share of how far the expected ones are spread: 0 for
equal ones, about 1.4 for two that have nothing to do with each other. Where a layer is missing, random or permuted it
is 0.01 to 1; what remains between equal weights is the rounding of the arithmetic, which `TOLERANCE` allows. Weights
that are stored in 16 bits are computed in 16 bits after loading, so the coarser of both precisions counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from sft_core.modeling.batches import Blocks
from sft_core.modeling.pixels import PixelMaker
from sft_core.store.image_store import ImageRef

MAX_TEXTS, MAX_TOKENS, MAX_POSITIONS = 2, 64, 8
"""At 150,000 logits a position: 10 MB, and two short forward passes."""
TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""By precision, finest first. float32 leaves room for another device and for the sums that merging an adapter reorders;
float16 is also what TF32 rounds to."""
BLOCKS_TO_LOOK_AT = 64
"""For a short text with images."""
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
    images: list[dict[str, Tensor]] = field(default_factory=list)
    """[texts] what a model of images is given beside each text; empty for a model of text."""

    def write(self, file: Path) -> None:
        """Write it as safetensors."""
        texts = {f"input_ids.{number}": text for number, text in enumerate(self.texts)}
        logits = {f"logits.{number}": part.contiguous() for number, part in enumerate(self.logits)}
        images = {
            f"images.{number}.{name}": part.contiguous()
            for number, inputs in enumerate(self.images)
            for name, part in inputs.items()
        }
        save_file({**texts, **logits, **images}, str(file), {"precision": self.precision})

    @classmethod
    def read(cls, file: Path) -> "Probe":
        """Read what `write` wrote."""
        with safe_open(str(file), "pt") as tensors:
            names = tensors.keys()
            count = sum(name.startswith("input_ids.") for name in names)
            texts, logits = (
                [tensors.get_tensor(f"{name}.{number}") for number in range(count)] for name in ("input_ids", "logits")
            )
            images: list[dict[str, Tensor]] = [{} for _ in range(count)]
            for name in names:
                if name.startswith("images."):
                    _, number, of_model = name.split(".", 2)
                    images[int(number)][of_model] = tensors.get_tensor(name)
            return cls(texts, logits, tensors.metadata()["precision"], images if any(images) else [])


def probe_texts(blocks: Blocks, pixels: PixelMaker | None = None) -> tuple[list[Tensor], list[dict[str, Tensor]]]:
    """The beginnings of the first documents of a data set; with images, of the first blocks' documents that have some
    also the shortest, whole.

    Args:
        blocks: The data set.
        pixels: For a model of images.

    Returns:
        [texts] of [tokens] int64; and what a model of images is given beside each.
    """
    found = [(ids[:MAX_TOKENS], images) for ids, images in _documents(blocks, MAX_TEXTS) if not images][:MAX_TEXTS]
    if pixels is None:
        return [ids.clone() for ids, _ in found], []
    shown = [document for document in _documents(blocks, BLOCKS_TO_LOOK_AT) if document[1]]
    found += sorted(shown, key=lambda document: len(document[0]))[:1]
    return [ids.clone() for ids, _ in found], [pixels.inputs([images], ids[None]) for ids, images in found]


def _documents(blocks: Blocks, num_blocks: int) -> Iterator[tuple[Tensor, list[ImageRef]]]:
    for number in range(min(len(blocks), num_blocks)):
        block = blocks[number]
        texts = torch.split(torch.from_numpy(block["input_ids"]), block["seq_lengths"].tolist())
        yield from zip(texts, block["images"], strict=True)


@torch.no_grad()
def probe_logits(
    model: Any, texts: Sequence[Tensor], device: torch.device, images: Sequence[Mapping[str, Tensor]] = ()
) -> list[Tensor]:
    """Ask a model, in evaluation mode, text by text: without padding, masks or a cache. Of a model whose weights are
    spread over processes, all of them ask.

    Args:
        model: On the device.
        texts: [texts] of [tokens]
        device: Where it is.
        images: [texts] what it is given beside each; empty for a model of text.
    """
    answers = [
        model(
            input_ids=text[None].to(device), **{name: part.to(device) for name, part in more.items()}, use_cache=False
        ).logits
        for text, more in zip(texts, images or [{}] * len(texts), strict=True)
    ]
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
