"""The forecast of `sft check`."""

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from sft_cli.printing import size
from sft_core.recipe.forecast import Forecast, Memory


def show_forecast(console: Console, forecast: Forecast, home: Path) -> None:
    """Print the forecast of a training: steps, evaluation, disk and memory, with its assumptions."""
    for line in _lines(forecast, home):
        console.print(line)
    for assumption in forecast.assumptions:
        console.print(f"          · {assumption}", style="dim")


def as_result(forecast: Forecast) -> dict[str, Any]:
    """Return the forecast as JSON values."""
    return {**asdict(forecast), "memory": {**asdict(forecast.memory), "total": forecast.memory.total}}


def _lines(run: Forecast, home: Path) -> list[str]:
    free = shutil.disk_usage(home).free
    short = "" if run.model_bytes < free else "  NOT ENOUGH"
    return [
        f"training  {run.steps:,} steps ({run.steps_per_epoch:,} an epoch, {run.epochs:.2f} epochs) of "
        f"{run.blocks_per_step:,} blocks, about {run.tokens_per_step:,} tokens; {run.tokens_seen:,} tokens in all",
        f"evaluate  {run.evaluations:,} × {run.eval_tokens:,} held-out tokens while training; at the end "
        f"{run.prompts:,} prompts of up to {run.max_new_tokens:,} new tokens, for {run.models_measured} model"
        + ("s" if run.models_measured > 1 else ""),
        f"disk      {size(run.data_bytes)} of data in the store; {size(run.model_bytes)} more for the model's "
        f"weights, {size(free)} free{short}",
        f"memory    about {size(run.memory.total)} a device for {_parameters(run)}: {_memory(run.memory)}",
    ]


def _memory(memory: Memory) -> str:
    names = {name: name.replace("_", " ") for name in asdict(memory)}
    names["low_precision_weights"] = "16-bit weights"
    return ", ".join(f"{names[name]} {size(value)}" for name, value in asdict(memory).items() if value)


def _parameters(forecast: Forecast) -> str:
    is_all = forecast.num_trained_parameters == forecast.num_parameters
    some = "" if is_all else f", of which {_millions(forecast.num_trained_parameters)} are trained"
    return f"{_millions(forecast.num_parameters)} parameters{some}"


def _millions(number: int) -> str:
    return f"{number / 1e9:.2f}B" if number >= 1e9 else f"{number / 1e6:.1f}M"
