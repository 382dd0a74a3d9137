"""Names of trlX and of transformers that mean a field of ours: they are understood, and each time it is said.

    seq_length: 512              →  tokens.max_length: 512
    train: {batch_size: 4}       →  training.per_device_train_batch_size: 4
    model: {model_path: gpt2}    →  model.path: gpt2

Only names that mean exactly the same are here. docs/from-trl-and-trlx.md lists all others, and why.
"""

from collections.abc import Mapping
from typing import Any

from sft_core.errors import RecipeError

_OF_TRAINING: Mapping[str, str] = {
    "seq_length": "tokens.max_length",
    "batch_size": "training.per_device_train_batch_size",
    "learning_rate": "training.learning_rate",
    "epochs": "training.num_train_epochs",
    "total_steps": "training.max_steps",
    "eval_interval": "training.eval_steps",
    "checkpoint_interval": "training.save_steps",
    "num_layers_unfrozen": "training.num_layers_unfrozen",
    "peft_config": "training.peft",
}
_OF_OTHERS: Mapping[str, str] = {
    "model_path": "model.path",
    "model.model_path": "model.path",
    "model.num_layers_unfrozen": "training.num_layers_unfrozen",
    "model.peft_config": "training.peft",
    "tokenizer_path": "model.tokenizer",
    "model.tokenizer_path": "model.tokenizer",
    "tokenizer.tokenizer_path": "model.tokenizer",
    "gen_kwargs": "evaluation.gen_kwargs",
    "method.gen_kwargs": "evaluation.gen_kwargs",
    "optimizer.kwargs.lr": "training.learning_rate",
    "optimizer.kwargs.eps": "training.adam_epsilon",
    "optimizer.kwargs.weight_decay": "training.weight_decay",
    "train.seed": "training.seed",
    "training.activation_checkpointing": "training.gradient_checkpointing",
    "training.activation_checkpointing_kwargs": "training.gradient_checkpointing_kwargs",
}
ALIASES: Mapping[str, str] = {
    **{
        f"{place}{name}": ours
        for name, ours in _OF_TRAINING.items()
        for place in ("", "train.", "training.")
        if f"{place}{name}" != ours
    },
    **_OF_OTHERS,
}
"""Dotted path → ours. What trlX has in `train` is understood at the top and in `training` as well."""

_PREFIXES = tuple(f"{alias}." for alias in ALIASES)
_IMPLIED: Mapping[str, tuple[str, Any]] = {"training.eval_steps": ("training.eval_strategy", "steps")}
"""trlX evaluates every `eval_interval` steps without being told to."""
_EITHER_OR = ("training.num_train_epochs", "training.max_steps")


def our_path(path: str) -> str:
    """Translate a dotted path, or the part of it that is an alias: `peft_config.r` is `training.peft.r`."""
    if path in ALIASES:
        return ALIASES[path]
    prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), None)
    return path if prefix is None else f"{ALIASES[prefix[:-1]]}.{path.removeprefix(prefix)}"


def notice_of(alias: str, content: dict[str, Any]) -> str:
    """Say what an alias was taken for; set what it implies, unless the recipe says something else.

    Args:
        alias: The dotted path that was understood.
        content: The recipe, with the value at our path; changed in place.
    """
    notice = f"`{alias}` is `{our_path(alias)}` here"
    name, value = _IMPLIED.get(our_path(alias), ("", None))
    if not name or _has(content, name):
        return notice
    _put(content, name, value)
    return f"{notice}, and sets `{name}: {value}`"


def resolve_aliases(content: dict[str, Any]) -> list[str]:
    """Move the values of aliases to our names, in place.

    Returns:
        A notice for each.

    Raises:
        RecipeError: if a field has two values, or if trlX would have taken the smaller of two.
    """
    notices: list[str] = []
    given: dict[str, str] = {}
    for alias in ALIASES:
        if not _has(content, alias):
            continue
        ours = our_path(alias)
        if _has(content, ours):
            raise RecipeError(f"{given.get(ours, ours)} and {alias}: both are `{ours}`, leave one of the two out")
        _put(content, ours, _take(content, alias))
        given[ours] = alias
        notices.append(notice_of(alias, content))
    if all(name in given for name in _EITHER_OR):
        epochs, steps = (given[name] for name in _EITHER_OR)
        raise RecipeError(
            f"{epochs} and {steps}: trlX stops at whichever comes first; here `training.max_steps` overrides "
            "`training.num_train_epochs`: leave out the one that comes later"
        )
    return notices


def _has(content: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def _take(content: dict[str, Any], path: str) -> Any:
    """Remove a value, and the sections that it leaves empty."""
    key, _, rest = path.partition(".")
    if not rest:
        return content.pop(key)
    value = _take(content[key], rest)
    if not content[key]:
        del content[key]
    return value


def _put(content: dict[str, Any], path: str, value: Any) -> None:
    key, _, rest = path.partition(".")
    if not rest:
        content[key] = value
        return
    if content.get(key) is None:
        content[key] = {}
    if not isinstance(content[key], dict):
        raise RecipeError(f"{key}: expected a section, found {content[key]!r}")
    _put(content[key], rest, value)
