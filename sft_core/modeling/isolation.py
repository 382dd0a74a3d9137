"""Shown on the model itself, before the first step: a document's logits do not depend on what lies beside it.

    together   [a a a a b b b c c]   and whatever padding the layout has
    alone      [a a a a]  [b b b]  [c c]

Compared per token: the distance of the two vectors of logits over the length of one of them, both without their mean,
which no probability depends on. What differs by more than arithmetic does is a leak: a mask that an attention ignores,
or a state that runs on from one document into the next (Mamba and other recurrent or convolutional layers).
Documents with images are looked at whole, so positions, masks and pixels are those of the training.
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
"""Relative, by the dtype of the arithmetic. Seen in small models with random weights, 17 architectures: rounding alone
up to 5e-7 in float32 and 7e-3 in bfloat16; attention that leaks 1e-2 to 1.6; a convolution over three tokens that runs
on 2e-4. So float32 tells everything, and is looked at wherever the weights are in it and the kernel takes it; half
precision shows that its kernel keeps documents apart as well."""
NUM_DOCUMENTS = 3
MAX_TOKENS = 48
"""Of each document without images: a leak is as visible in a few tokens as in many."""
BLOCKS_TO_LOOK_AT = 64


class _Document(NamedTuple):
    ids: npt.NDArray[np.int64]
    images: list[ImageRef]


def takes_positions(model: "PreTrainedModel") -> bool:
    """Whether a model can be told where each document begins."""
    return "position_ids" in inspect.signature(model.forward).parameters


def isolated_attention(
    model: "PreTrainedModel",
    requested: AttnImplementation,
    padding_free: bool | None,
    dtype: torch.dtype,
    splits: Sequence[Blocks],
    pixels: PixelMaker | None = None,
) -> tuple[Attention, Collator]:
    """Give a model the best attention that a recipe allows and that keeps documents apart.

    Args:
        model: On its device, with a `pad_token_id`.
        requested: `model.attn_implementation`.
        padding_free: `training.padding_free`.
        dtype: Of the arithmetic.
        splits: The blocks that the model will see.
        pixels: For a model of images.

    Returns:
        What the model has now, and what makes its batches.

    Raises:
        RecipeError: if there is none; why, and what to change.
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
    assert refusal is not None, "there is always a choice"
    raise refusal


def check_isolation(model: "PreTrainedModel", collator: Collator, blocks: Blocks, dtype: torch.dtype) -> None:
    """Compare documents of the data with and without neighbours, in the layout that is trained on.

    Args:
        model: On its device, with its attention; it is left as it was.
        collator: Makes the batches.
        blocks: If some hold several documents, documents share a row; else they share a batch.
        dtype: Of the arithmetic.

    Raises:
        RecipeError: if a document's logits depend on its neighbours, or the model cannot run on such batches.
    """
    documents = _documents(blocks, collator.pixels)
    if not documents or any(parameter.is_meta for parameter in model.parameters()):
        return  # nothing to train on; or weights that come later, in a form of their own
    is_packed = blocks.is_packed
    if is_packed and not collator.has_positions:
        raise RecipeError(
            f"model: {type(model).__name__} takes no position_ids, so rows of one block would see each other; set "
            "`packing.packing: false`"
        )
    arithmetics = _arithmetics(model, dtype)
    shares_rows = is_packed or collator.padding_free
    if shares_rows and torch.float32 not in arithmetics and getattr(model, "_is_stateful", False):
        raise RecipeError(
            f"model: a state of {type(model).__name__} runs through a row, and whether it is reset between documents "
            "cannot be told in half precision; set `model.dtype: float32`, or " + _advice(collator, is_packed)
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
            f"model: in {_describe(model, collator)}, documents that share a {'row' if is_packed else 'batch'} see "
            f"each other: their logits differ from those of each alone by {difference:.2g} of their length, where "
            f"{TOLERANCE[arithmetic]:.0e} is allowed in {str(arithmetic).removeprefix('torch.')}; "
            + _advice(collator, is_packed)
        )


def _arithmetics(model: "PreTrainedModel", dtype: torch.dtype) -> list[torch.dtype]:
    """What to look at: the precise one, if there is one, and the one that is trained in."""
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
    """A few documents of at least two tokens: beginnings of the first without images, between the shortest two with
    images, whole; of a data set with one only, also that one backwards.

    Where all have images, a text without stands between them: a mask that takes the places of one document's images
    for another's is right where all have theirs at the same places, as it was seen in Gemma 3.
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
    """Beside a longer row it is padded."""
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
    """The largest of all tokens; NaN if any logit is none."""
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
    """[rows, tokens, vocabulary] float32."""
    device = next(model.parameters()).device
    inputs = {name: part for name, part in batch.items() if name not in NOT_FOR_THE_MODEL}
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        logits: Tensor = model(**send_to_device(inputs, device), use_cache=False).logits
    return logits.float()
