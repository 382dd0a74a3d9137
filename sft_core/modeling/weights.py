"""Loading of the model that a recipe references."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import set_seed
from transformers import AutoConfig, PreTrainedModel

from sft_core.errors import RecipeError
from sft_core.modeling.attention import loaded_with
from sft_core.modeling.model_class import auto_class, has_vision
from sft_core.modeling.quantization import quantization_of
from sft_core.modeling.vocabulary import fit_vocabulary
from sft_core.pretrained.hub import download_snapshot
from sft_core.pretrained.model import ModelRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def load_model(ref: ModelRef, tokenizer: "PreTrainedTokenizerBase", seed: int) -> PreTrainedModel:
    """Load weights, or initialize them at random, and adopt the tokenizer's special tokens.

    Args:
        ref: Reference to the model.
        tokenizer: The tokenizer of the model; with `init: config` it sets the size of the vocabulary.
        seed: Seed for random weights: the same seed gives the same weights.

    Raises:
        RecipeError: if the model cannot be built, or has fewer embeddings than the tokenizer has ids (embeddings for
            the recipe's new tokens are added).
    """
    set_seed(seed)
    options: dict[str, Any] = {
        "dtype": ref.dtype,
        "attn_implementation": loaded_with(ref.attn_implementation),
        "trust_remote_code": ref.trust_remote_code,
    }
    folder = _folder_of(ref) if ref.init == "pretrained" else None
    quantization = quantization_of(ref.model_init_kwargs)
    try:
        config = config_of(ref, tokenizer)
        if ref.init == "config":
            options["dtype"] = None if ref.dtype == "auto" else getattr(torch, ref.dtype)
            model = auto_class(config).from_config(config, **options)
        else:
            more = {name: value for name, value in ref.model_init_kwargs.items() if name != "quantization_config"}
            if quantization is not None:  # the model is quantized on the GPU of this process
                from accelerate import PartialState

                more |= {"quantization_config": quantization, "device_map": {"": PartialState().device}}
            model = auto_class(config).from_pretrained(folder, **options, **more)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RecipeError(
            f"model: cannot build a causal language model from {folder or ref.config}: {error}"
        ) from error
    fit_vocabulary(model, tokenizer, ref.additional_special_tokens, are_rows_drawn=ref.init == "config")
    _adopt_special_tokens(model, tokenizer)
    return model


def _folder_of(ref: ModelRef) -> Path | None:
    if ref.path is None:
        return None
    return Path(ref.path).expanduser() if ref.commit is None else download_snapshot(ref.path, ref.commit)


def config_of(ref: ModelRef, tokenizer: "PreTrainedTokenizerBase") -> Any:
    """Return the model's configuration. Nothing else of a model on the Hub is downloaded."""
    fields: dict[str, Any] = {}
    if ref.init == "config":
        ids = {name: getattr(tokenizer, name) for name in _SPECIAL_IDS}
        fields = {"vocab_size": len(tokenizer), **ids, **ref.config}
    if ref.path is None:
        config = AutoConfig.for_model(**fields)
    else:
        fields |= {name: value for name, value in ref.model_init_kwargs.items() if name != "quantization_config"}
        path = Path(ref.path).expanduser() if ref.commit is None else ref.path
        options = {"revision": ref.commit, "trust_remote_code": ref.trust_remote_code}
        config = AutoConfig.from_pretrained(path, **options, **fields)
    if ref.init == "config" and has_vision(config):
        _fit_parts(config, fields, tokenizer)
    return config


def _fit_parts(config: Any, fields: dict[str, Any], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Set the vocabulary size and special ids in the text part of a vision-language configuration, and ids of image
    tokens in the whole, if the tokenizer has names for them. Values that the recipe gives are kept."""
    text = config.get_text_config()
    parts = (name for name in config.sub_configs if getattr(config, name, None) is text)
    given: dict[str, Any] = next((fields.get(name, {}) for name in parts), {})
    for name in ("vocab_size", *_SPECIAL_IDS):
        if name not in given:
            setattr(text, name, fields[name])
    for name in vars(config):
        if name.endswith("_token_id") and name not in fields and isinstance(getattr(tokenizer, name, None), int):
            setattr(config, name, getattr(tokenizer, name))


def _adopt_special_tokens(model: PreTrainedModel, tokenizer: "PreTrainedTokenizerBase") -> None:
    """Set the tokenizer's eos and padding ids for generation. The model's own eos ids are kept as well."""
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    model.config.pad_token_id = model.config.get_text_config().pad_token_id = pad
    if model.generation_config is None or tokenizer.eos_token_id is None:
        return
    known = model.generation_config.eos_token_id
    others = known if isinstance(known, list) else [] if known is None else [known]
    ends = list(dict.fromkeys([tokenizer.eos_token_id, *others]))
    model.config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.eos_token_id = ends[0] if len(ends) == 1 else ends
    model.generation_config.pad_token_id = pad
