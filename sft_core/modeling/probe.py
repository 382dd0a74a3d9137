"""A few texts and a model's logits for them, which show whether a stored model is the one that was trained.

    probe.safetensors    input_ids.0 [tokens] int64, logits.0 [positions, vocabulary] float32: logits of the last tokens
                         images.0.pixel_values …, if the text has images: the model's inputs for them
                         input_ids.1 …
                         precision = float32: precision in which the logits were computed

Two models are compared by the difference of their logits relative to the spread of the expected logits: 0 for equal
models, about 1.4 for two unrelated ones. If a layer is missing, random or permuted, it is 0.01 to 1. Between equal
weights only rounding errors remain, which `TOLERANCE` allows. Weights that are stored in 16 bits compute in 16 bits
after loading, so the coarser of both precisions counts.
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
"""Limits of a probe. With a vocabulary of 150,000 it takes 10 MB and two short forward passes."""
TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 5e-2}
"""Precision → largest difference allowed, finest precision first. That of float32 allows for another device and for
sums that merging an adapter reorders; that of float16 also applies to TF32, which rounds alike."""
BLOCKS_TO_LOOK_AT = 64
"""Number of blocks that are searched for a short text with images."""
FAR_BELOW = 50.0
"""Distance below the greatest logit (e⁻⁵⁰ of its probability) from which logits count as masked, and are ignored."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Texts and a model's logits at their last tokens."""

    texts: list[Tensor]
    """[texts] of [tokens] int64 token ids."""
    logits: list[Tensor]
    """[texts] of [positions, vocabulary] float32, on the CPU."""
    precision: str
    """A key of `TOLERANCE`."""
    images: list[dict[str, Tensor]] = field(default_factory=list)
    """[texts] a vision-language model's other inputs for each text; empty for a text model."""

    def write(self, file: Path) -> None:
        """Write the probe to a safetensors file."""
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
        """Read a probe that `write` wrote."""
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
    """Return the beginnings of the first documents of a data set. For a vision-language model, add the shortest
    document with images in the first blocks, complete.

    Args:
        blocks: The data set.
        pixels: Maker of pixels for a vision-language model.

    Returns:
        [texts] of [tokens] int64 token ids, and a vision-language model's other inputs for each text.
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
    """Run a model on each text, without padding, masks or a cache. With sharded weights, all processes have to call it.

    Args:
        model: The model, in evaluation mode.
        texts: [texts] of [tokens] token ids.
        device: The model's device.
        images: [texts] other inputs for each text; empty for a text model.

    Returns:
        [texts] of logits [positions, vocabulary] float32 of the last tokens, on the CPU.
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
    """Return the coarsest precision; an unknown one counts as the coarsest of all."""
    order = list(TOLERANCE)
    return max((name if name in TOLERANCE else order[-1] for name in precisions), key=order.index)


def difference(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Return the difference of two models' logits, relative to the spread of the expected ones.

    √(Σ (found − expected)² / Σ (expected − its mean)²) over all logits that are not masked, each position shifted to a
    mean of 0: a shift of all logits changes no probability.

    Returns:
        0 or more; infinity if shapes differ or a logit is NaN.
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
