"""Choice of transformers' auto class for a configuration: vision-language model or text model."""

from typing import Any


def has_vision(config: Any) -> bool:
    """Return whether a configuration is of a vision-language model, which takes images and text and generates text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return (
        getattr(config, "vision_config", None) is not None
        and not getattr(config, "is_encoder_decoder", False)
        and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    )


def auto_class(config: Any) -> Any:
    """Return the auto class that builds or loads a model of this configuration: `AutoModelForImageTextToText` if
    `has_vision`, else `AutoModelForCausalLM`."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if has_vision(config) else AutoModelForCausalLM
