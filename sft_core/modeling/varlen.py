"""Variable-length attention: documents share one row, without padding, mask, or computation between documents.

    tokens         [a a a a b b b c c]
    cu_seq_lens    [0 4 7 9]            document i is tokens cu_seq_lens[i] to cu_seq_lens[i + 1]

It is registered with transformers as `varlen`. On a GPU in half precision it calls PyTorch's own kernel
(`torch.nn.attention.varlen`, FlashAttention 2 without another package). Elsewhere it calls a causal
`scaled_dot_product_attention` for each document: for 19 documents of 108 tokens on average in four rows of 512, this
takes 13 ms on two cores, forward and backward; with a mask over the rows it takes 38 ms.

It supports no mask, so it refuses batches without offsets: tokens would attend across documents.
"""

import inspect
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import AttentionInterface

from sft_core.errors import RecipeError

VARLEN = "varlen"
MAX_HEAD_WIDTH = 256
"""Largest head width of the GPU kernel."""
HEAD_WIDTH_STEP = 8


def has_kernel() -> bool:
    """Return whether there is a GPU, and PyTorch's kernel supports scale, window and grouped heads."""
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        return False
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return {"scale", "window_size", "enable_gqa"} <= set(inspect.signature(varlen_attn).parameters)


def varlen_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Compute causal attention within each document, with the signature of transformers' attention functions.

    Args:
        module: The attention module of the layer.
        query: [1, heads, tokens, head width]
        key: [1, key-value heads, tokens, head width]
        value: [1, key-value heads, tokens, value width]
        attention_mask: Has to be None; the offsets separate the documents.
        dropout: Has to be 0.
        scaling: Factor of the scores; None: 1 / √(head width).
        sliding_window: Number of tokens that a token attends to, including itself; None: all before it.
        cu_seq_lens_q: [documents + 1] int32 offsets.
        max_length_q: Number of tokens of the longest document.
        more: Other arguments; `softcap`, `s_aux` and `position_bias` are refused.

    Returns:
        The output [1, tokens, heads, value width], and None for the attention weights.

    Raises:
        RecipeError: if the batch is not padding-free, or the model needs a feature that the kernel does not have.
    """
    if cu_seq_lens_q is None or max_length_q is None or attention_mask is not None or query.shape[0] != 1:
        raise RecipeError(
            "model.attn_implementation: `varlen` needs padding-free batches; set `training.padding_free: true`,"
            " or `attn_implementation: sdpa`"
        )
    asked = [name for name in ("softcap", "s_aux", "position_bias") if more.get(name) is not None]
    asked += ["dropout"] if dropout else []
    asked += ["bidirectional attention"] if not getattr(module, "is_causal", True) else []
    if asked:
        raise RecipeError(
            f"model.attn_implementation: `varlen` has no {', '.join(asked)}, which {type(module).__name__} needs; "
            "set `attn_implementation: eager` or `sdpa`"
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    window = None if sliding_window is None or sliding_window >= max_length_q else sliding_window
    query, key, value = (part.squeeze(0).transpose(0, 1) for part in _in_one_dtype(query, key, value))
    if query.is_cuda and query.dtype in (torch.float16, torch.bfloat16):
        return _by_kernel(query, key, value, cu_seq_lens_q, max_length_q, scale, window).unsqueeze(0), None
    return _by_document(query, key, value, cu_seq_lens_q, scale, window).unsqueeze(0), None


def _in_one_dtype(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert all three to one dtype: under autocast, rotary embeddings leave queries and keys in float32, while values
    are in half precision."""
    device = query.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else value.dtype
    return query.to(dtype), key.to(dtype), value.to(dtype)


def _by_kernel(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, longest: int, scale: float, window: int | None
) -> Tensor:
    """Attend with the GPU kernel: [tokens, heads, width] each → [tokens, heads, value width]."""
    from torch.nn.attention.varlen import varlen_attn

    value_width = value.shape[-1]
    width = -(-max(query.shape[-1], value_width) // HEAD_WIDTH_STEP) * HEAD_WIDTH_STEP
    if width > MAX_HEAD_WIDTH:
        raise RecipeError(
            f"model.attn_implementation: on a GPU `varlen` takes heads of at most {MAX_HEAD_WIDTH}, found {width}; set "
            "`attn_implementation: sdpa`"
        )
    # padding the width with zeros changes no score, and the scale is given
    query, key, value = (functional.pad(part, (0, width - part.shape[-1])) for part in (query, key, value))
    out = varlen_attn(
        query,
        key,
        value,
        offsets,
        offsets,
        longest,
        longest,
        scale=scale,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(out, Tensor), "no other output was requested"
    return out[..., :value_width]


def _by_document(
    query: Tensor, key: Tensor, value: Tensor, offsets: Tensor, scale: float, window: int | None
) -> Tensor:
    """Attend document by document: [tokens, heads, width] each → [tokens, heads, value width]."""
    lengths = offsets.diff().tolist()
    heads_first = (part.transpose(0, 1).unsqueeze(0) for part in (query, key, value))
    documents = zip(*(torch.split(part, lengths, dim=2) for part in heads_first), strict=True)
    outputs = [
        functional.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=_window_mask(length, window, query.device),
            is_causal=window is None or length <= window,
            scale=scale,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for (queries, keys, values), length in zip(documents, lengths, strict=True)
    ]
    return torch.cat(outputs, dim=2).squeeze(0).transpose(0, 1)


def _window_mask(length: int, window: int | None, device: torch.device) -> Tensor | None:
    """Return a mask [tokens, tokens], True where a token attends to another; None if it attends to all before it."""
    if window is None or length <= window:
        return None
    positions = torch.arange(length, device=device)
    distance = positions[:, None] - positions
    return (distance >= 0) & (distance < window)


AttentionInterface.register(VARLEN, varlen_attention)
