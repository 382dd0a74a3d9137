"""Choice of the attention implementation of a training, and of the layout of its batches."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers.utils import is_flash_attn_3_available

from sft_core.errors import RecipeError
from sft_core.modeling.model_class import has_vision
from sft_core.modeling.varlen import HEAD_WIDTH_STEP, MAX_HEAD_WIDTH, VARLEN, has_kernel
from sft_core.pretrained.model import AttnImplementation

if TYPE_CHECKING:
    from transformers import PreTrainedModel

VARIABLE_LENGTH = frozenset({VARLEN, "flash_attention_2", "flash_attention_3"})
"""Implementations that take documents of any length in one row, separated by offsets."""
HALF_PRECISION = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Attention:
    """Attention implementation, with the layout of batches."""

    implementation: str
    padding_free: bool


def loaded_with(requested: AttnImplementation) -> str | None:
    """Return the `attn_implementation` with which transformers loads the model; None: the architecture's default."""
    return None if requested in ("auto", VARLEN) else requested


def attention_choices(
    model: "PreTrainedModel", requested: AttnImplementation, padding_free: bool | None, dtype: torch.dtype
) -> list[Attention]:
    """Return the attention implementations that a recipe allows, best first. If one fails the check of isolation, the
    next is tried.

    With `auto`, these are FlashAttention 3 if it is installed, `varlen` if it can replace the model's attention, and
    the implementation that transformers chose. Variable-length implementations are padding-free by default.

    Args:
        model: The model, loaded with the `attn_implementation` of `loaded_with`.
        requested: The recipe's `model.attn_implementation`.
        padding_free: The recipe's `training.padding_free`.
        dtype: Type in which matrix products are computed.

    Raises:
        RecipeError: if the recipe contradicts itself, or this machine lacks what it needs.
    """
    if requested == VARLEN and padding_free is False:
        raise RecipeError(
            "`model.attn_implementation: varlen` needs padding-free batches; remove `training.padding_free: false`"
        )
    if requested == VARLEN and torch.cuda.is_available() and not has_kernel():
        raise RecipeError(
            "model.attn_implementation: `varlen` needs PyTorch 2.13 and a GPU of compute capability 8.0 (Ampere) or "
            "newer; set `sdpa`"
        )
    names = _automatic(model, dtype) if requested == "auto" else [requested]
    if padding_free is False:
        names = [name for name in names if name != VARLEN]
    return [Attention(name, name in VARIABLE_LENGTH if padding_free is None else padding_free) for name in names]


def use_attention(model: "PreTrainedModel", implementation: str) -> None:
    """Set a model's attention implementation.

    Raises:
        RecipeError: if the model or this machine does not support it.
    """
    try:
        if implementation != model.config._attn_implementation:
            model.set_attn_implementation(implementation)
    except (ValueError, ImportError) as error:
        raise RecipeError(f"model.attn_implementation: cannot use {implementation}: {error}") from error
    if model.config._attn_implementation != implementation:
        raise RecipeError(
            f"model.attn_implementation: the attention of {type(model).__name__} cannot be set to `{implementation}`; "
            "leave it at `auto`"
        )


def _automatic(model: "PreTrainedModel", dtype: torch.dtype) -> list[str]:
    names: list[str] = [model.config._attn_implementation]
    if not takes_varlen(model):
        return names
    if not torch.cuda.is_available():
        return [VARLEN, *names]
    if dtype in HALF_PRECISION and has_kernel():
        names.insert(0, VARLEN)
    if dtype in HALF_PRECISION and _has_flash_attention_3(model):
        names.insert(0, "flash_attention_3")
    return names


def takes_varlen(model: "PreTrainedModel") -> bool:
    """Return whether `varlen` computes the same as the model's own attention, judging by its configuration. (The check
    before the first step verifies it.)"""
    if has_vision(model.config):  # the image encoder has no documents, and its attention is bidirectional
        return False
    config = model.config.get_text_config()
    layers = set(getattr(config, "layer_types", None) or ())
    return (
        model.config._attn_implementation == "sdpa"
        and bool(getattr(model, "_supports_attention_backend", False))
        and model._can_set_attn_implementation()
        and layers <= {"full_attention", "sliding_attention"}
        and not getattr(config, "attn_logit_softcapping", None)
        and not any(getattr(config, name, 0.0) for name in ("attention_dropout", "attn_pdrop"))
        and _head_width(config) <= MAX_HEAD_WIDTH
    )


def _head_width(config: Any) -> int:
    heads = getattr(config, "num_attention_heads", 0) or 1
    width = getattr(config, "head_dim", None) or getattr(config, "hidden_size", 0) // heads
    return -(-width // HEAD_WIDTH_STEP) * HEAD_WIDTH_STEP


def _has_flash_attention_3(model: "PreTrainedModel") -> bool:
    is_hopper = torch.cuda.get_device_capability()[0] == 9
    return is_hopper and is_flash_attn_3_available() and bool(model._supports_flash_attn)


@contextlib.contextmanager
def attention_over_rows(model: "PreTrainedModel") -> Iterator[None]:
    """Switch a model with `varlen` attention to `sdpa` within the context, which takes padded rows and a cache."""
    if model.config._attn_implementation != VARLEN:
        yield
        return
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(VARLEN)
