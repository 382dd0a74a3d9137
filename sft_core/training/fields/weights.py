"""Fields that choose which weights are trained."""

from typing import Any, Literal

from pydantic import Field

from sft_core.section import Section


class WeightFields(Section):
    """Fields for training all weights, some parts, the last layers, or an adapter."""

    freeze: tuple[Literal["vision", "projector", "language"], ...] = ()
    """Parts of a vision-language model whose weights are frozen. `vision`: the image encoder; `projector`: the layers
    that map its output to the width of the language model; `language`: the language model with its embeddings and
    output projection."""

    num_layers_unfrozen: int = Field(default=-1, ge=-1)
    """Number of last layers to train, as in trlX, together with the final norm and an untied output projection. In a
    vision-language model, layers of the language model are counted. 0: train only norms and learned position
    embeddings outside the layers. -1: train everything."""
    peft: dict[str, Any] = {}
    """Train a PEFT adapter instead of the model, for example `{peft_type: LORA, r: 16, …}`. Any PEFT method and its
    fields can be given; PEFT's defaults apply. LoRA on an architecture for which PEFT knows no `target_modules` uses
    `all-linear`. In a vision-language model only the language model gets adapters, unless `target_modules` names
    modules. Adapter weights are float32, whatever the dtype of the base model."""
    merge_adapter: bool = True
    """Merge the trained adapter into the model's weights, so that any program can load the model. The adapter itself is
    saved next to it. If false, and for methods and quantized base models that cannot be merged, the model folder holds
    the adapter alone, which is loaded on top of its base model."""
