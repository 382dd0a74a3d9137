"""Accept names of trlX and transformers that mean the same as a field of the recipe, and log a notice for each.

    seq_length: 512              →  tokens.max_length: 512
    train: {batch_size: 4}       →  training.per_device_train_batch_size: 4
    model: {model_path: gpt2}    →  model.path: gpt2

Only names with exactly the same meaning are listed here. docs/from-trl-and-trlx.md lists all others, with the reasons.
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
"""Dotted path of an alias → path of the recipe's field. Names of trlX's `train` are also accepted at the top level and
in `training`."""

_PREFIXES = tuple(f"{alias}." for alias in ALIASES)
_IMPLIED: Mapping[str, tuple[str, Any]] = {"training.eval_steps": ("training.eval_strategy", "steps")}
"""Field → (other field, value) that it implies: trlX evaluates every `eval_interval` steps without another setting."""
_EITHER_OR = ("training.num_train_epochs", "training.max_steps")


def our_path(path: str) -> str:
    """Return the recipe's path for a dotted path that is an alias or begins with one.

    `peft_config.r` becomes `training.peft.r`; any other path is returned unchanged.
    """
    if path in ALIASES:
        return ALIASES[path]
    prefix = next((prefix for prefix in _PREFIXES if path.startswith(prefix)), None)
    return path if prefix is None else f"{ALIASES[prefix[:-1]]}.{path.removeprefix(prefix)}"


def notice_of(alias: str, content: dict[str, Any]) -> str:
    """Return the notice for an alias, and set the field that it implies unless the recipe sets it.

    Args:
        alias: Dotted path of the alias.
        content: The recipe, with the value already at the recipe's path; changed in place.
    """
    notice = f"`{alias}` is `{our_path(alias)}` here"
    name, value = _IMPLIED.get(our_path(alias), ("", None))
    if not name or _has(content, name):
        return notice
    _put(content, name, value)
    return f"{notice}, and sets `{name}: {value}`"


def resolve_aliases(content: dict[str, Any]) -> list[str]:
    """Move the values of aliases to the recipe's own fields, in place.

    Returns:
        A notice for each alias.

    Raises:
        RecipeError: if a field has two values, or if trlX names set both the number of epochs and of steps: trlX would
            stop at the smaller of the two.
    """
    notices: list[str] = []
    given: dict[str, str] = {}
    for alias in ALIASES:
        if not _has(content, alias):
            continue
        ours = our_path(alias)
        if _has(content, ours):
            raise RecipeError(f"{given.get(ours, ours)} and {alias}: both are `{ours}`, remove one of the two")
        _put(content, ours, _take(content, alias))
        given[ours] = alias
        notices.append(notice_of(alias, content))
    if all(name in given for name in _EITHER_OR):
        epochs, steps = (given[name] for name in _EITHER_OR)
        raise RecipeError(
            f"{epochs} and {steps}: trlX stops at whichever comes first; here `training.max_steps` overrides "
            "`training.num_train_epochs`: remove the one that comes later"
        )
    return notices


def _has(content: Any, path: str) -> bool:
    for key in path.split("."):
        if not isinstance(content, dict) or key not in content:
            return False
        content = content[key]
    return True


def _take(content: dict[str, Any], path: str) -> Any:
    """Remove and return a value; also remove the sections that become empty."""
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
