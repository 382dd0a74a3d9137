"""Repeat the first steps of a training, and compare the recorded metrics."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from sft_core.processes.launch import Launch
from sft_core.training import METRICS_FILE, TrainPlan, TrainResult
from tasks.processes.launching import launch
from tasks.stages.accepting import compare_lines, steps_to_replay

PLACEMENT = "It compares trainings, and trains nothing that is kept."


class _EnoughError(Exception):
    """The replay has recorded all lines that are compared."""


def replay(
    plan_for: Callable[..., TrainPlan], log: Path, processes: Launch, earlier: Path, scratch: Path
) -> dict[str, Any]:
    """Replay the first steps of a training, and compare their metrics with those of the training.

    Args:
        plan_for: Called with `output_folder`; returns the plan of the training.
        log: File to which the output of the trainer is appended.
        processes: The processes that train.
        earlier: The folder of the earlier training.
        scratch: An empty folder for the replay.

    Returns:
        The proof: how the trainings were compared (`how`), the number of steps and of lines, and the device.

    Raises:
        RecipeError: if anything differs.
    """
    recorded = _lines(earlier)
    last = steps_to_replay(recorded)
    expected = [line for line in recorded if line["step"] <= last]

    def look() -> None:
        if len(_lines(scratch)) >= len(expected):
            raise _EnoughError

    with contextlib.suppress(_EnoughError):
        launch("sft_core.training", plan_for(output_folder=scratch), scratch, log, processes, look)
    device = TrainResult.model_validate_json((earlier / "result.json").read_bytes()).device
    count = compare_lines(expected, _lines(scratch)[: len(expected)], is_exact=device == "cpu")
    how = "equal to the bit" if device == "cpu" else "equal within the bound for GPUs"
    return {"how": f"{last:,} steps replayed, {how}", "steps": last, "lines": count, "device": device}


def _lines(folder: Path) -> list[dict[str, Any]]:
    """Read the complete lines of a training's metrics file."""
    file = folder / METRICS_FILE
    if not file.exists():
        return []
    content = file.read_bytes()
    return [orjson.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]
