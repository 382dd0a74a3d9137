"""Learning rate schedulers of transformers 5, and the options that each of them takes."""

from collections.abc import Mapping
from typing import Any, Literal

Scheduler = Literal[
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
    "reduce_lr_on_plateau",
    "cosine_with_min_lr",
    "cosine_warmup_with_min_lr",
    "warmup_stable_decay",
    "greedy",
]

NEED_EVALUATION = ("reduce_lr_on_plateau", "greedy")
OPTIONS: Mapping[Scheduler, tuple[str, ...]] = {
    "linear": (),
    "cosine": ("num_cycles",),
    "cosine_with_restarts": ("num_cycles",),
    "polynomial": ("lr_end", "power"),
    "constant": (),
    "constant_with_warmup": (),
    "inverse_sqrt": ("timescale",),
    "cosine_with_min_lr": ("num_cycles", "min_lr", "min_lr_rate"),
    "cosine_warmup_with_min_lr": ("num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"),
    "warmup_stable_decay": (
        "num_decay_steps",
        "num_stable_steps",
        "warmup_type",
        "decay_type",
        "min_lr_ratio",
        "num_cycles",
    ),
}
"""Scheduler → names of its options. Schedulers whose options are not known without PyTorch are missing."""


def check_scheduler(name: Scheduler, options: Mapping[str, Any] | None) -> None:
    """Check that all options are known to a scheduler, and that its required options are given.

    Raises:
        ValueError: if not; the message names the options.
    """
    given, known = set(options or {}), OPTIONS.get(name)
    if known is not None and given - set(known):
        raise ValueError(
            f"`lr_scheduler_kwargs` of `lr_scheduler_type: {name}` are {', '.join(known) or 'none'}; found "
            f"{', '.join(sorted(given - set(known)))}"
        )
    if name.endswith("with_min_lr") and len(given & {"min_lr", "min_lr_rate"}) != 1:
        raise ValueError(
            f"`lr_scheduler_type: {name}` needs `lr_scheduler_kwargs: {{min_lr_rate: 0.1}}` (a share of the learning "
            "rate), or `min_lr` (a rate): one of the two"
        )
    if name == "warmup_stable_decay" and "num_decay_steps" not in given:
        raise ValueError("`lr_scheduler_type: warmup_stable_decay` needs `lr_scheduler_kwargs: {num_decay_steps: …}`")
