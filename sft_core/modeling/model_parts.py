"""Parts of a vision-language model, named by their function and not by the names in each architecture.

    qwen2_5_vl   model.visual, without its merger      vision       encodes an image
                 model.visual.merger                   projector    maps the encoding to the width of the text
                 model.language_model, lm_head         language     reads and writes text

`vision` is the image encoder, `language` the decoder with its embeddings and its output projection. `projector` is
the rest: the connector between the two, wherever the architecture has it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from torch import nn

from sft_core.modeling.model_class import has_vision

ModelPart = Literal["vision", "projector", "language"]
_IN_THE_ENCODER = "merger"
"""Name of the projector in Qwen's family, where it is inside the encoder."""


def parameters_of(model: Any, parts: Sequence[ModelPart]) -> list[nn.Parameter]:
    """Return the parameters of some parts of a vision-language model without an adapter."""
    language = {*_below(model, _language_names(model))}
    vision = {*_below(model, [_name_of(model, model.get_encoder(modality="image"))])} - language

    def part_of(name: str) -> ModelPart:
        if name in language:
            return "language"
        return "vision" if name in vision and _IN_THE_ENCODER not in name else "projector"

    return [parameter for name, parameter in model.named_parameters() if part_of(name) in parts]


def outside_language(model: Any) -> str | None:
    """Return a regular expression for the names of all modules outside the language model; None for a text model."""
    if not has_vision(model.config):
        return None
    return rf"(?!{re.escape(_name_of(model, model.get_decoder()))}\.).*"


def _language_names(model: Any) -> list[str]:
    modules = (model.get_decoder(), model.get_input_embeddings(), model.get_output_embeddings())
    return [_name_of(model, module) for module in modules if module is not None]


def _name_of(model: nn.Module, wanted: Any) -> str:
    found: str = next(name for name, module in model.named_modules() if module is wanted)
    return found


def _below(model: nn.Module, tops: Sequence[str]) -> Iterator[str]:
    prefixes = tuple(f"{top}." for top in tops)
    return (name for name, _ in model.named_parameters() if name.startswith(prefixes))
