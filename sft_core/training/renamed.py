"""Loading of weights that transformers saves under other names than the parameters of the model have.

    model         model.language_model.layers.0…     names in the model as transformers builds it today
    checkpoint    language_model.model.layers.0…     names in its published weights, which other programs expect

`from_pretrained` knows both. The Trainer only compares names: it loads the weights whose names match and leaves all
others as they are, so a training would resume from its initial weights.
"""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME


def has_other_names(model: Any, folder: Path) -> bool:
    """Return whether weight files in a folder contain names that the model does not have.

    The result is False for adapters, and if the folder has no `model.safetensors` or index of its shards.
    """
    return isinstance(model, PreTrainedModel) and not _names_in(folder) <= model.state_dict().keys()


def load_weights(model: PreTrainedModel, folder: Path) -> None:
    """Load the weights of a folder that `save_pretrained` wrote into a model. They are in memory twice meanwhile."""
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
