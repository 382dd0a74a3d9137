"""Which weights are trained."""

from typing import Any, Literal

from pydantic import Field

from sft_core.section import Section


class WeightFields(Section):
    """All weights, some parts, the last layers, or an adapter."""

    freeze: tuple[Literal["vision", "projector", "language"], ...] = ()
    """Parts of a vision-language model that stay as they are: `vision`, what looks at images; `projector`, what brings
    that into the width of the text; `language`, the language model with its embeddings and output projection."""

    num_layers_unfrozen: int = Field(default=-1, ge=-1)
    """As in trlX: train the last so many layers (of a vision-language model: of its language part), with the final norm
    and a vocabulary projection that is not tied; 0: norms and learned positions outside the layers alone. -1:
    everything."""
    peft: dict[str, Any] = {}
    """Train an adapter instead of the model: `{peft_type: LORA, r: 16, …}`, any method and field of PEFT with PEFT's
    defaults; LoRA on an architecture that PEFT has no `target_modules` for gets `all-linear`. Of a
    vision-language model only the language part gets adapters, unless `target_modules` names modules. Adapters are
    drawn in float32, whatever the base is in."""
    merge_adapter: bool = True
    """Make the trained adapter a part of the model's weights, so that any program loads it; the adapter itself lies
    beside the model. Off, and for methods and quantized bases that allow nothing else, the model is the adapter, and is
    put on its base when it is loaded."""
