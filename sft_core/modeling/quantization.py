"""Quantization of base models to 4 or 8 bits (QLoRA, https://arxiv.org/abs/2305.14314) with bitsandbytes."""

import importlib.util
import inspect
from collections.abc import Mapping
from typing import Any

import torch

from sft_core.errors import RecipeError, did_you_mean

FIELD = "model.model_init_kwargs.quantization_config"


def quantization_of(model_init_kwargs: Mapping[str, Any]) -> Any:
    """Return transformers' `BitsAndBytesConfig` for the recipe's fields; None if `quantization_config` is not set.

    Raises:
        RecipeError: if a field does not exist, or if bitsandbytes or a device that it supports is missing.
    """
    fields = model_init_kwargs.get("quantization_config")
    if fields is None:
        return None
    from transformers import BitsAndBytesConfig

    known = set(inspect.signature(BitsAndBytesConfig).parameters) - {"kwargs"}
    for field in fields:
        if field not in known:
            raise RecipeError(f"{FIELD}.{field}: bitsandbytes has no such field{did_you_mean(field, sorted(known))}")
    if not (fields.get("load_in_4bit") or fields.get("load_in_8bit")):
        raise RecipeError(f"{FIELD}: expected `load_in_4bit: true` or `load_in_8bit: true`, found neither")
    try:
        config = BitsAndBytesConfig(**fields)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{FIELD}: {error}") from error
    _check_installed()
    return config


def _check_installed() -> None:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise RecipeError(f"{FIELD}: expected bitsandbytes, found it not installed; pip install 'sft[quantization]'")
    import bitsandbytes

    here = {"cpu", torch.cuda.is_available() and "cuda"} - {False}
    if not here & set(bitsandbytes.supported_torch_devices):
        raise RecipeError(
            f"{FIELD}: expected a device that bitsandbytes {bitsandbytes.__version__} quantizes on (a GPU), found "
            f"{', '.join(sorted(map(str, here)))}; remove the field, or train on a machine with one"
        )


def is_quantized(model: Any) -> bool:
    """Return whether the weights were quantized when they were loaded."""
    return getattr(model, "hf_quantizer", None) is not None


def to_device(model: Any, device: torch.device) -> Any:
    """Move a model, with or without an adapter, to a device. A quantized model was created on its device and stays."""
    return model if is_quantized(model) else model.to(device)
