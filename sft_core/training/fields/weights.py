"""Which weights are trained."""

from typing import Any

from pydantic import Field

from sft_core.section import Section


class WeightFields(Section):
    """All weights, the last layers, or an adapter."""

    num_layers_unfrozen: int = Field(default=-1, ge=-1)
    """Train only the last so many layers (trlX): the others and the embeddings stay as they are. -1: train all."""
    peft: dict[str, Any] = {}
    """Train an adapter instead of the weights: PEFT's configuration by its own names, for example `{peft_type: LORA, r:
    16, lora_alpha: 32}`. Empty: train the weights."""
    merge_adapter: bool = True
    """With `peft`: fold the adapter into the weights at the end, so that the model needs nothing else. Off: the result
    is the adapter."""
