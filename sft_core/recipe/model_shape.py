"""Measure the size of a model without its weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sft_core.errors import RecipeError
from sft_core.pretrained.model import ModelRef
from sft_core.training import TrainingConfig

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Numbers of parameters, and the widths that determine the size of activations."""

    num_parameters: int
    num_layers: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    bytes_per_parameter: int
    num_trained_parameters: int
    weight_bytes: int
    """Bytes of all weights in memory; those of a quantized base have 4 or 8 bits."""
    max_positions: int | None = None
    """Maximum number of tokens of a text; None if the model's configuration sets no limit."""


def measure_model(
    ref: ModelRef, tokenizer: "PreTrainedTokenizerBase", training: TrainingConfig | None = None
) -> ModelShape:
    """Build the model on the meta device, which allocates no memory, choose the trained parts, and count parameters.

    Args:
        ref: The model.
        tokenizer: Its tokenizer; with `init: config` it gives the size of the vocabulary.
        training: The `training` section, which decides the trained parts; None: everything is trained.

    Raises:
        RecipeError: if the configuration cannot be read, if no causal language model can be built from it, or if the
            model lacks the parts that are to be trained.
    """
    import torch

    from sft_core.modeling import auto_class, config_of, fit_vocabulary, max_positions

    try:
        config = config_of(ref, tokenizer)
        with torch.device("meta"):
            model: Any = auto_class(config).from_config(config, trust_remote_code=ref.trust_remote_code)
    except (OSError, ValueError, TypeError, KeyError) as error:
        name = ref.path or ref.config
        raise RecipeError(f"model: cannot build a causal language model from {name}: {error}") from error
    text = config.get_text_config()
    dtype = str(getattr(config, "dtype", None) if ref.dtype == "auto" else ref.dtype)
    fit_vocabulary(model, tokenizer, ref.additional_special_tokens, are_rows_drawn=ref.init == "config")
    bytes_per_parameter = 2 if dtype.endswith("float16") else 4
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    weight_bytes = _weight_bytes(model, ref, bytes_per_parameter)
    return ModelShape(
        num_parameters=num_parameters,
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        intermediate_size=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocab_size=text.vocab_size,
        bytes_per_parameter=bytes_per_parameter,
        num_trained_parameters=_count_trained(model, ref, tokenizer, training),
        weight_bytes=weight_bytes,
        max_positions=max_positions(config),
    )


def _weight_bytes(model: Any, ref: ModelRef, bytes_per_parameter: int) -> int:
    """Return the bytes of all weights. bitsandbytes quantizes all matrices but embeddings and output projection."""
    from torch import nn

    quantization = ref.model_init_kwargs.get("quantization_config") or {}
    packed = 0.5 if quantization.get("load_in_4bit") else 1 if quantization.get("load_in_8bit") else bytes_per_parameter
    head = model.get_output_embeddings()
    weights = [
        module.weight
        for module in model.modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) == 2
        and not isinstance(module, nn.Embedding)
        and module is not head
    ]
    in_matrices = sum(weight.numel() for weight in weights)
    others = sum(parameter.numel() for parameter in model.parameters()) - in_matrices
    return int(in_matrices * packed + others * bytes_per_parameter)


def _count_trained(
    model: Any, ref: ModelRef, tokenizer: "PreTrainedTokenizerBase", training: TrainingConfig | None
) -> int:
    """Return the number of trained parameters.

    Adapters that are initialized from the weights cannot be built here; then all parameters of the model count.
    """
    import torch

    from sft_core.modeling import choose_trained, count_trained, new_ids

    if training is None:
        return count_trained(model)
    tokens = new_ids(tokenizer, ref.additional_special_tokens)
    is_quantized = "quantization_config" in ref.model_init_kwargs
    try:
        with torch.device("meta"):
            chosen = choose_trained(
                model,
                training.peft,
                training.num_layers_unfrozen,
                0,
                tokens,
                is_quantized=is_quantized,
                freeze=training.freeze,
            )
    except RecipeError as error:
        if isinstance(error.__cause__, NotImplementedError | RuntimeError):
            return sum(parameter.numel() for parameter in model.parameters())
        raise
    return count_trained(chosen)
