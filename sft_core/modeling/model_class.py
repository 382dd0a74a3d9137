"""Which class of transformers a configuration is for: one that sees images, or one of text alone."""

from typing import Any


def has_vision(config: Any) -> bool:
    """Whether the configuration is that of a model that takes images and text and continues the text."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

    return (
        getattr(config, "vision_config", None) is not None
        and not getattr(config, "is_encoder_decoder", False)
        and type(config) in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    )


def auto_class(config: Any) -> Any:
    """The auto class that builds or loads a model of this configuration: `AutoModelForImageTextToText` where it
    `has_vision`, else `AutoModelForCausalLM`."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    return AutoModelForImageTextToText if has_vision(config) else AutoModelForCausalLM
