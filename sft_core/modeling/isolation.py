"""Check, on the model itself before the first step, that a document's logits do not depend on its neighbours.

    together   [a a a a b b b c c]   with the padding of the layout
    alone      [a a a a]  [b b b]  [c c]

The difference is measured per token: the norm of the difference of both logit vectors, divided by the norm of the
logits of the document alone. The mean of each vector is subtracted first, because no probability depends on it. A
difference above the rounding errors of the arithmetic is a leak: a mask that the attention ignores, or a state that
carries over from one document to the next (Mamba and other recurrent or convolutional layers). Documents with images
are compared whole, so that positions, masks and pixels are those of the training.
"""

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from accelerate.utils import send_to_device
from torch import Tensor

from sft_core.errors import RecipeError
from sft_core.modeling.attention import Attention, attention_choices, use_attention
from sft_core.modeling.batches import NOT_FOR_THE_MODEL, Block, Blocks, Collator
from sft_core.modeling.image_positions import ImagePositions
from sft_core.modeling.pixels import PixelMaker
from sft_core.pretrained.model import AttnImplementation
from sft_core.store.image_store import ImageRef

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOLERANCE = {torch.float32: 5e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""Dtype of the arithmetic → largest relative difference that is allowed.

Measured in small models with random weights of 17 architectures: rounding alone gives up to 5e-7 in float32 and 7e-3 in
bfloat16; attention that leaks, 1e-2 to 1.6; a convolution over three tokens that crosses documents, 2e-4. So float32
detects every leak, and is checked if the weights are float32 and the kernel supports it. Half precision is checked to
show that its kernel separates documents as well."""
NUM_DOCUMENTS = 3
MAX_TOKENS = 48
"""Number of tokens of each document without images: a leak is as visible in a few tokens as in many."""
BLOCKS_TO_LOOK_AT = 64


class _Document(NamedTuple):
    ids: npt.NDArray[np.int64]
    images: list[ImageRef]


def takes_positions(model: "PreTrainedModel") -> bool:
    """Return whether a model takes `position_ids`, which mark where each document begins."""
    return "position_ids" in inspect.signature(model.forward).parameters


def isolated_attention(
    model: "PreTrainedModel",
    requested: AttnImplementation,
    padding_free: bool | None,
    dtype: torch.dtype,
    splits: Sequence[Blocks],
    pixels: PixelMaker | None = None,
) -> tuple[Attention, Collator]:
    """Set the best attention that the recipe allows and that isolates documents from each other.

    Args:
        model: The model on its device, with a `pad_token_id`.
        requested: The recipe's `model.attn_implementation`.
        padding_free: The recipe's `training.padding_free`.
        dtype: Type in which matrix products are computed.
        splits: The blocks that the model will see.
        pixels: Maker of pixels for a vision-language model.

    Returns:
        The attention that was set, and the collator for it.

    Raises:
        RecipeError: if no attention passes; the message has the reason and what to change.
    """
    refusal: RecipeError | None = None
    for attention in attention_choices(model, requested, padding_free, dtype):
        collator = Collator(
            model.config.pad_token_id,
            attention.padding_free,
            takes_positions(model),
            pixels,
            ImagePositions.of(model),
        )
        try:
            use_attention(model, attention.implementation)
            for blocks in splits:
                check_isolation(model, collator, blocks, dtype)
        except RecipeError as error:
            refusal = error
        else:
            return attention, collator
    assert refusal is not None, "there is at least one choice"
    raise refusal


def check_isolation(model: "PreTrainedModel", collator: Collator, blocks: Blocks, dtype: torch.dtype) -> None:
    """Compare the logits of documents of the data with and without neighbours, in the layout of the training.

    Args:
        model: The model on its device, with its attention set; it is left unchanged.
        collator: Makes the batches.
        blocks: The data. If any block has several documents, documents share a row; else they share a batch.
        dtype: Type in which matrix products are computed.

    Raises:
        RecipeError: if a document's logits depend on its neighbours, or the model cannot run on such batches.
    """
    documents = _documents(blocks, collator.pixels)
    if not documents or any(parameter.is_meta for parameter in model.parameters()):
        return  # there is no data; or the weights are loaded later
    is_packed = blocks.is_packed
    if is_packed and not collator.has_positions:
        raise RecipeError(
            f"model: {type(model).__name__} takes no position_ids, so rows of one block would affect each other; "
            "set `packing.packing: false`"
        )
    arithmetics = _arithmetics(model, dtype)
    shares_rows = is_packed or collator.padding_free
    if shares_rows and torch.float32 not in arithmetics and getattr(model, "_is_stateful", False):
        raise RecipeError(
            f"model: {type(model).__name__} has a recurrent state, and whether it is reset between documents "
            "cannot be measured in half precision; set `model.dtype: float32`, or " + _advice(collator, is_packed)
        )
    was_training = model.training
    model.eval()
    try:
        for arithmetic in arithmetics:
            difference = _largest_difference(model, collator, documents, is_packed, arithmetic)
            if not difference <= TOLERANCE[arithmetic]:
                break
    except RecipeError:
        raise
    except (TypeError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"model: {_describe(model, collator)} cannot run on the batches of this recipe: {error}; "
            + _advice(collator, is_packed)
        ) from error
    finally:
        model.train(was_training)
    if not difference <= TOLERANCE[arithmetic]:
        raise RecipeError(
            f"model: in {_describe(model, collator)}, documents that share a {'row' if is_packed else 'batch'} "
            f"affect each other: their logits differ from those of each alone by a relative {difference:.2g}, where "
            f"{TOLERANCE[arithmetic]:.0e} is allowed in {str(arithmetic).removeprefix('torch.')}; "
            + _advice(collator, is_packed)
        )


def _arithmetics(model: "PreTrainedModel", dtype: torch.dtype) -> list[torch.dtype]:
    """Return the types to check in: float32 if weights and kernel support it, and the type of the training."""
    is_precise = all(parameter.dtype == torch.float32 for parameter in model.parameters())
    takes_float32 = is_precise and not model.config._attn_implementation.startswith("flash_attention")
    return list(dict.fromkeys([torch.float32, dtype])) if takes_float32 else [dtype]


def _describe(model: "PreTrainedModel", collator: Collator) -> str:
    layout = "padding-free" if collator.padding_free else "padded"
    return f"{type(model).__name__} with `{model.config._attn_implementation}` attention and {layout} batches"


def _advice(collator: Collator, is_packed: bool) -> str:
    ways = ["`packing.packing: false`"] if is_packed else []
    ways += ["`training.padding_free: false`"] if collator.padding_free else []
    return f"try {', '.join([*ways, '`model.attn_implementation: eager`'])}"


def _documents(blocks: Blocks, pixels: PixelMaker | None) -> list[_Document]:
    """Return a few documents of at least two tokens: the beginnings of the first ones without images, between the
    shortest two with images, which are complete. If there is only one document, a reversed copy is added.

    If all documents have images, a text without images is put between them. A mask that takes the places of one
    document's images for those of another is correct by chance if all documents have images at the same places, as was
    seen in Gemma 3.
    """
    plain: list[_Document] = []
    seen: list[_Document] = []
    for number in range(min(len(blocks), BLOCKS_TO_LOOK_AT)):
        block = blocks[number]
        parts = np.split(block["input_ids"], np.cumsum(block["seq_lengths"])[:-1])
        for ids, images in zip(parts, block["images"], strict=True):
            if images:
                seen.append(_Document(ids, images))
            elif len(ids) > 1 and len(plain) < NUM_DOCUMENTS:
                plain.append(_Document(ids[:MAX_TOKENS], []))
    seen = sorted(seen, key=lambda document: len(document.ids))[: NUM_DOCUMENTS - 1]
    if seen and pixels and not plain:
        ids = seen[0].ids
        plain = [_Document(ids[~np.isin(ids, pixels.vision().image_token_ids)][:MAX_TOKENS], [])]
    found = [*seen[1:], *plain[: NUM_DOCUMENTS - len(seen)], *seen[:1]]
    return found if len(found) != 1 else [*found, *map(_backwards, found)]


def _backwards(document: _Document) -> _Document:
    return document if document.images else _Document(document.ids[::-1], [])


def _shorter(documents: Sequence[_Document]) -> _Document:
    """Return a document that is shorter than the others, so that its row is padded in their batch."""
    plain = [document for document in documents if not document.images]
    if not plain:
        return min(documents, key=lambda document: len(document.ids))
    return _Document(plain[0].ids[: max(len(plain[0].ids) // 2, 1)], [])


def _block(documents: Sequence[_Document]) -> Block:
    ids = np.concatenate([document.ids for document in documents])
    lengths = np.array([len(document.ids) for document in documents])
    return {
        "input_ids": ids,
        "labels": ids,
        "seq_lengths": lengths,
        "images": [document.images for document in documents],
    }


@torch.no_grad()
def _largest_difference(
    model: "PreTrainedModel", collator: Collator, documents: list[_Document], is_packed: bool, dtype: torch.dtype
) -> float:
    """Return the largest difference over all tokens; NaN if any logit is NaN."""
    shorter = _shorter(documents)
    rows = [documents, [shorter]] if is_packed else [[document] for document in (*documents, shorter)]
    together = _logits(model, collator([_block(row) for row in rows]), dtype)
    flat = together.flatten(0, 1)
    width = 0 if collator.padding_free else together.shape[1]
    start, differences = 0, []
    for number, row in enumerate(rows):
        start = number * width if width else start
        for document in row:
            alone = _logits(model, collator([_block([document])]), dtype)[0, : len(document.ids)]
            beside = flat[start : start + len(document.ids)]
            differences.append(_centred(beside - alone).norm(dim=-1) / _centred(alone).norm(dim=-1).clamp(min=1e-12))
            start += len(document.ids)
    return torch.cat(differences).max().item()


def _centred(logits: Tensor) -> Tensor:
    return logits - logits.mean(-1, keepdim=True)


def _logits(model: "PreTrainedModel", batch: dict[str, Any], dtype: torch.dtype) -> Tensor:
    """Return the logits [rows, tokens, vocabulary] of a batch, in float32."""
    device = next(model.parameters()).device
    inputs = {name: part for name, part in batch.items() if name not in NOT_FOR_THE_MODEL}
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        logits: Tensor = model(**send_to_device(inputs, device), use_cache=False).logits
    return logits.float()
