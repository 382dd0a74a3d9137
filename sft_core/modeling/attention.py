"""Which attention a model is trained with, and in which layout its batches come."""

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
"""What takes documents of any length in one row, and is told their offsets."""
HALF_PRECISION = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True)
class Attention:
    """What was chosen."""

    implementation: str
    padding_free: bool


def loaded_with(requested: AttnImplementation) -> str | None:
    """What transformers is told when it makes the model; None: the best that the architecture has by itself."""
    return None if requested in ("auto", VARLEN) else requested


def attention_choices(
    model: "PreTrainedModel", requested: AttnImplementation, padding_free: bool | None, dtype: torch.dtype
) -> list[Attention]:
    """What a recipe allows, best first; one that fails the check of isolation makes room for the next.

    `auto` is FlashAttention 3 where it is installed, then `varlen` where the model's attention is one that it can take
    the place of, then what transformers chose. Padding-free by default is what the variable-length ones are.

    Args:
        model: As it was loaded, with `loaded_with`.
        requested: `model.attn_implementation`.
        padding_free: `training.padding_free`.
        dtype: Of the arithmetic.

    Raises:
        RecipeError: if the recipe contradicts itself, or this machine has not what it asks for.
    """
    if requested == VARLEN and padding_free is False:
        raise RecipeError(
            "`model.attn_implementation: varlen` needs padding-free batches; leave out `training.padding_free: false`"
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
    """Set a model's attention.

    Raises:
        RecipeError: if the model, or this machine, does not have it.
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
    """Whether `varlen` computes what the model's own attention does, as far as its configuration tells. (The check
    before the first step tells for sure.)"""
    if has_vision(model.config):  # the encoder of images has no documents, and looks both ways
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
    """Let a model that is trained with `varlen` take padded rows and a cache meanwhile, for generation."""
    if model.config._attn_implementation != VARLEN:
        yield
        return
    model.set_attn_implementation("sdpa")
    try:
        yield
    finally:
        model.set_attn_implementation(VARLEN)
