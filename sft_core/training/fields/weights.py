"""Which weights are trained."""

from typing import Any

from pydantic import Field

from sft_core.section import Section


class WeightFields(Section):
    """All weights, the last layers, or an adapter."""

    num_layers_unfrozen: int = Field(default=-1, ge=-1)
    """As in trlX: train the last so many layers, with the final norm and a vocabulary projection that is not tied; 0:
    norms and learned positions outside the layers alone. -1: everything."""
    peft: dict[str, Any] = {}
    """Train an adapter instead of the model: `{peft_type: LORA, r: 16, …}`, any method and field of PEFT with PEFT's
    defaults; LoRA on an architecture that PEFT has no `target_modules` for gets `all-linear`. Adapters are drawn in
    float32, whatever the base is in."""
    merge_adapter: bool = True
    """Make the trained adapter a part of the model's weights, so that any program loads it; the adapter itself lies
    beside the model. Off, and for methods and quantized bases that allow nothing else, the model is the adapter, and is
    put on its base when it is loaded."""
