"""Weights that transformers writes under other names than the model has them by, brought back.

    model         model.language_model.layers.0…     as it is built today
    checkpoint    language_model.model.layers.0…     as its published weights are called, and as programs look for them

`from_pretrained` knows both. The Trainer compares names alone, takes over what it finds, and goes on with the rest as
it was before: a training would go on from its first weights.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME


def has_other_names(model: Any, folder: Path) -> bool:
    """Whether weights in a folder are called otherwise than in a model; False for adapters, and where none lie there
    whole."""
    return isinstance(model, PreTrainedModel) and not _names_in(folder) <= model.state_dict().keys()


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Give a model the weights of a folder that `save_pretrained` wrote; meanwhile they are in memory twice."""
    found = type(model).from_pretrained(folder, dtype=model.dtype)
    model.load_state_dict(found.state_dict())


def _names_in(folder: Path) -> set[str]:
    index, whole = folder / SAFE_WEIGHTS_INDEX_NAME, folder / SAFE_WEIGHTS_NAME
    if index.is_file():
        return set(json.loads(index.read_bytes())["weight_map"])
    if not whole.is_file():
        return set()
    with safe_open(str(whole), "pt") as tensors:
        return set(tensors.keys())
