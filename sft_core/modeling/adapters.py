"""Adapters of PEFT on a frozen model, with PEFT's names and defaults.

    training.peft: {peft_type: LORA, r: 16}   →   the model, wrapped with LoraConfig(r=16, task_type="CAUSAL_LM")

Names and fields are checked from the recipe alone (`adapter_config`), so that mistakes are found before any data is
processed. TRL's own defaults (rank 16, alpha 32, dropout 0.05) do not replace PEFT's. Two defaults differ from PEFT:
LoRA on an architecture for which PEFT has no `target_modules` uses `all-linear`, and in a vision-language model only
the language model gets adapters, unless the recipe names modules.

Adapter weights are float32, also on a quantized base: updates with a learning rate of 2e-5 would be lost in bfloat16's
8 bits. `training.bf16` sets the arithmetic all the same.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import set_seed
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from sft_core.errors import RecipeError, did_you_mean
from sft_core.modeling.model_parts import outside_language
from sft_core.modeling.virtual_tokens import hide_virtual_tokens

if TYPE_CHECKING:
    from peft import PeftConfig, PeftModel

REFUSED = {
    "ADALORA": "its loss has an additional term, and its ranks are reallocated between steps",
    "CPT": "its loss weights the tokens of its own prompt, and the loss here is over the targets of the data",
    "MULTITASK_PROMPT_TUNING": "every row would need a task id",
    "POLY": "every row would need a task id",
    "XLORA": "it mixes adapters that have been trained before",
}
"""Method → why it cannot be trained: it needs more than rows and targets."""
KEPT_APART = frozenset({"ADAPTION_PROMPT", "BEFT", "LILY", "SHADOW"})
"""Methods whose adapters do not change the model's own weights and so cannot be merged, in addition to those with
virtual tokens."""
SET_FOR_YOU = {"auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision"}
DATA_DRIVEN_INITS = {"corda", "eva", "lora_ga", "loftq"}
"""Values of `init_lora_weights` that need a pass over data, or another quantization, before training."""
CACHE_PREFIXES = {"CARTRIDGE", "PREFIX_TUNING"}
"""Methods whose virtual tokens are keys and values in the cache, which gradient checkpointing discards."""
PEFT_MISTAKES = (ValueError, TypeError, KeyError, AttributeError, NotImplementedError, RuntimeError, ImportError)
"""Exceptions that PEFT raises for a configuration that does not fit the model."""


def adapter_config(fields: Mapping[str, Any]) -> "PeftConfig":
    """Return PEFT's configuration for the recipe's `training.peft`.

    Args:
        fields: `peft_type`, and fields of PEFT's configuration class of that method.

    Raises:
        RecipeError: if a method or field does not exist (with the one that was perhaps meant), or if the method cannot
            be trained here (with the reason).
    """
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    classes = {kind.value: made for kind, made in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    name = fields.get("peft_type")
    if name is None:
        raise RecipeError("training.peft: expected a `peft_type`, for example LORA; found none")
    if name not in classes:
        hint = did_you_mean(name, sorted(classes))
        raise RecipeError(f"training.peft.peft_type: expected a method of PEFT, found '{name}'{hint}")
    if name in REFUSED:
        raise RecipeError(f"training.peft.peft_type: {name} cannot be trained here: {REFUSED[name]}")
    known = {field.name for field in dataclasses.fields(classes[name])} - SET_FOR_YOU
    for field in fields:
        if field not in known:
            raise RecipeError(f"training.peft.{field}: {name} has no such field{did_you_mean(field, sorted(known))}")
    if fields.get("task_type", "CAUSAL_LM") != "CAUSAL_LM":
        raise RecipeError(f"training.peft.task_type: expected CAUSAL_LM, found '{fields['task_type']}'; leave it out")
    _check_lora(fields)
    chosen = {key: value for key, value in fields.items() if key not in ("peft_type", "task_type")}
    try:
        return classes[name](task_type="CAUSAL_LM", **chosen)
    except PEFT_MISTAKES as error:
        raise RecipeError(f"training.peft: {name} cannot be configured with these fields: {error}") from error


def check_adapter(
    fields: Mapping[str, Any], is_packed: bool, has_gradient_checkpointing: bool, is_padding_free: bool = False
) -> None:
    """Check `training.peft` against the rest of the recipe.

    Raises:
        RecipeError: as in `adapter_config`, or if the method cannot be combined with packing, padding-free batches, or
            gradient checkpointing.
    """
    config = adapter_config(fields)
    name = fields["peft_type"]
    if config.is_prompt_learning and is_packed:
        raise RecipeError(
            f"training.peft.peft_type: {name} puts virtual tokens in front of each row, and a packed block holds many "
            "texts in one row; set packing.packing and packing.eval_packing to false"
        )
    if config.is_prompt_learning and is_padding_free:
        raise RecipeError(
            f"training.peft.peft_type: {name} puts virtual tokens in front of each row, and a padding-free batch is a "
            "single row; remove training.padding_free and `model.attn_implementation: varlen`"
        )
    if name in CACHE_PREFIXES and has_gradient_checkpointing:
        raise RecipeError(
            f"training.peft.peft_type: {name} keeps its virtual tokens in the cache, which gradient checkpointing "
            "discards; set training.gradient_checkpointing to false"
        )


def add_adapter(
    model: PreTrainedModel, fields: Mapping[str, Any], seed: int, new_token_ids: Sequence[int] = ()
) -> "PeftModel":
    """Freeze a model and add an adapter, whose random weights depend only on the seed.

    Args:
        model: The base model, changed in place.
        fields: The recipe's `training.peft`.
        seed: Seed of the adapter's random weights.
        new_token_ids: Tokens whose embeddings were created for this run. Their rows are trained as well, also in the
            output projection.

    Raises:
        RecipeError: if the method does not fit the model, or cannot train the new tokens.
    """
    from peft import get_peft_model

    config = adapter_config(fields)
    if getattr(config, "target_modules", "none") is None and fields["peft_type"] == "LORA":
        config.target_modules = _lora_targets(model)
    _leave_images_alone(model, config, fields)
    if new_token_ids:
        _train_rows(model, config, new_token_ids)
    set_seed(seed)
    try:
        adapted = get_peft_model(model, config)
    except PEFT_MISTAKES as error:
        raise RecipeError(
            f"training.peft: {fields['peft_type']} does not fit {type(model).__name__}: {error}; its linear layers are "
            f"named {', '.join(_layer_names(model))}"
        ) from error
    return with_hidden_prompts(adapted)


def with_hidden_prompts(model: "PeftModel") -> "PeftModel":
    """Make a model with virtual tokens return outputs for the real tokens only; return the model."""
    if has_virtual_tokens(model):
        hide_virtual_tokens(model)
    return model


def has_virtual_tokens(model: Any) -> bool:
    """Return whether the model puts virtual tokens in front of every row, so that texts cannot share a row."""
    return hasattr(model, "active_peft_config") and bool(model.active_peft_config.is_prompt_learning)


def base_of(model: Any) -> Any:
    """Return the model below an adapter, or the model itself if it has none."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def is_mergeable(config: "PeftConfig") -> bool:
    """Return whether adapters of a method can be merged into the model's own weights."""
    return not config.is_prompt_learning and str(config.peft_type.value) not in KEPT_APART


def _check_lora(fields: Mapping[str, Any]) -> None:
    init = fields.get("init_lora_weights")
    if init in DATA_DRIVEN_INITS:
        raise RecipeError(
            f"training.peft.init_lora_weights: '{init}' is computed from data or weights before training, which is not "
            "done here; remove the field, or use pissa, olora, orthogonal or gaussian"
        )
    if fields.get("alora_invocation_tokens"):
        raise RecipeError(
            "training.peft.alora_invocation_tokens: adapters that begin at a token of each row cannot be used in "
            "blocks of several rows; remove the field"
        )


def _layer_names(model: PreTrainedModel) -> list[str]:
    """Return the names of linear layers (their last part), each once."""
    linear = (torch.nn.Linear, Conv1D)
    return list(
        dict.fromkeys(name.rpartition(".")[2] for name, part in model.named_modules() if isinstance(part, linear))
    )


def _lora_targets(model: PreTrainedModel) -> str | None:
    """Return LoRA's `target_modules`; None leaves the choice to PEFT, if it knows the architecture."""
    from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as KNOWN

    return None if model.config.model_type in KNOWN else "all-linear"


def _leave_images_alone(model: PreTrainedModel, config: "PeftConfig", fields: Mapping[str, Any]) -> None:
    """Exclude everything but the language model, unless the recipe names modules itself."""
    outside = outside_language(model)
    if outside is None:
        return
    if config.is_prompt_learning:
        raise RecipeError(
            f"training.peft.peft_type: {fields['peft_type']} puts virtual tokens in front of a text, and "
            f"{type(model).__name__} places its images by counting tokens; use LORA"
        )
    is_chosen = fields.get("target_modules") not in (None, "all-linear") or fields.get("exclude_modules") is not None
    if not is_chosen and hasattr(config, "exclude_modules"):
        config.exclude_modules = outside


def _train_rows(model: PreTrainedModel, config: "PeftConfig", new_token_ids: Sequence[int]) -> None:
    """Train the embeddings of new tokens: only their rows if the method supports it, else the whole matrices."""
    embeddings = _embedding_names(model)
    method = config.peft_type.value
    whole = set(getattr(config, "modules_to_save", None) or [])
    if hasattr(config, "trainable_token_indices"):
        asked = config.trainable_token_indices or {}
        rows = asked if isinstance(asked, dict) else dict.fromkeys(embeddings, asked)
        wanted = {name: sorted({*rows.get(name, []), *new_token_ids}) for name in embeddings if name not in whole}
        config.trainable_token_indices = {**rows, **wanted} or None
    elif hasattr(config, "modules_to_save") and not config.is_prompt_learning and len(embeddings) > 1:
        config.modules_to_save = sorted({*whole, *embeddings})
    else:
        why = "has only virtual tokens" if config.is_prompt_learning else "cannot train single rows of tied embeddings"
        raise RecipeError(
            f"training.peft.peft_type: model.additional_special_tokens need trained embeddings, and {method} "
            f"{why}; use LORA, or train without `peft`"
        )


def _embedding_names(model: PreTrainedModel) -> list[str]:
    """Return the last name part of the input embeddings and, unless it is tied, of the output projection."""
    modules = [model.get_input_embeddings()]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not modules[0].weight:
        modules.append(head)
    return [next(name for name, found in model.named_modules() if found is module).split(".")[-1] for module in modules]
