"""How large a model is, without its weights."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sft_core.errors import RecipeError
from sft_core.model import ModelRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Parameters, and the widths that activations are made of."""

    num_parameters: int
    num_layers: int
    hidden_size: int
    intermediate_size: int
    vocab_size: int
    bytes_per_parameter: int


def measure_model(ref: ModelRef, tokenizer: "PreTrainedTokenizerBase") -> ModelShape:
    """Build the model on the meta device, which allocates nothing, and count its parameters.

    Args:
        ref: Which model.
        tokenizer: Its tokenizer; with `init: config` it gives the size of the vocabulary.

    Raises:
        RecipeError: if its configuration cannot be read, or no causal language model be built of it.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from sft_core.modeling import config_of

    try:
        config = config_of(ref, tokenizer)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config, trust_remote_code=ref.trust_remote_code)
    except (OSError, ValueError, TypeError, KeyError) as error:
        name = ref.path or ref.config
        raise RecipeError(f"model: cannot build a causal language model from {name}: {error}") from error
    text = config.get_text_config()
    dtype = str(getattr(config, "dtype", None) if ref.dtype == "auto" else ref.dtype)
    return ModelShape(
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        intermediate_size=getattr(text, "intermediate_size", None) or 4 * text.hidden_size,
        vocab_size=text.vocab_size,
        bytes_per_parameter=2 if dtype.endswith("float16") else 4,
    )
