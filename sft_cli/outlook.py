"""The forecast of `sft check`."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from sft_core.recipe.forecast import Forecast, Memory


def show_forecast(console: Console, told: Forecast, home: Path) -> None:
    """Print what training will take."""
    for line in _lines(told, home):
        console.print(Text(line))
    for assumption in told.assumptions:
        console.print(Text(f"          · {assumption}", style="dim"))


def as_result(told: Forecast) -> dict[str, Any]:
    """The forecast as JSON values."""
    return {**asdict(told), "memory": {**asdict(told.memory), "total": told.memory.total}}


def _lines(told: Forecast, home: Path) -> list[str]:
    free = shutil.disk_usage(home).free
    short = "" if told.model_bytes < free else "  NOT ENOUGH"
    return [
        f"training  {told.steps:,} steps ({told.steps_per_epoch:,} an epoch, {told.epochs:.2f} epochs) of "
        f"{told.blocks_per_step:,} blocks, about {told.tokens_per_step:,} tokens; {told.tokens_seen:,} tokens in all",
        f"evaluate  {told.evaluations:,} × {told.eval_tokens:,} held-out tokens while training; at the end "
        f"{told.prompts:,} prompts of up to {told.max_new_tokens:,} new tokens, for {told.models_measured} model"
        + ("s" if told.models_measured > 1 else ""),
        f"disk      {size(told.data_bytes)} of data in the store; {size(told.model_bytes)} more for the model's "
        f"weights, {size(free)} free{short}",
        f"memory    about {size(told.memory.total)} a device for {_parameters(told)}: {_memory(told.memory)}",
    ]


def _memory(memory: Memory) -> str:
    names = {name: name.replace("_", " ") for name in asdict(memory)}
    names["low_precision_weights"] = "16-bit weights"
    return ", ".join(f"{names[name]} {size(value)}" for name, value in asdict(memory).items() if value)


def _parameters(told: Forecast) -> str:
    is_all = told.num_trained_parameters == told.num_parameters
    some = "" if is_all else f", of which {_millions(told.num_trained_parameters)} are trained"
    return f"{_millions(told.num_parameters)} parameters{some}"


def _millions(number: int) -> str:
    return f"{number / 1e9:.2f}B" if number >= 1e9 else f"{number / 1e6:.1f}M"


def size(num_bytes: float) -> str:
    """Bytes as people read them, in powers of ten."""
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.1f} {unit}"
    return f"{num_bytes:.0f} bytes"
