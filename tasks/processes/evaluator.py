"""Run the evaluator in a process of its own, and tell how far it is."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from sft_core.evaluation import INTERVALS_FILE, PROGRESS_FILE, SCORECARD_FILE, EvaluationConfig, EvaluationPlan
from sft_core.evaluation.answering import MetricNames
from sft_core.pretrained.model import ModelRef, libraries_of_model
from sft_core.processes.launch import Launch
from sft_core.store.records import StageOutcome
from tasks.processes.launching import launch
from tasks.processes.watching import EvaluationWatch


def libraries_asked_for(inputs: Mapping[str, Any]) -> list[str]:
    """The optional libraries that an evaluation makes use of, by their modules' names."""
    config: EvaluationConfig = inputs["config"]
    models = [value for value in inputs.values() if isinstance(value, ModelRef)]
    return [
        *MetricNames.parse(config.metrics).libraries,
        *(name for model in models for name in libraries_of_model(model)),
    ]


def run_evaluator(plan_for: Callable[..., EvaluationPlan], log: Path, processes: Launch, folder: Path) -> StageOutcome:
    """Evaluate into a folder.

    Args:
        plan_for: Takes `output_folder`, and returns what is measured.
        log: Gets all that the process prints.
        processes: The one that evaluates: on which kind of device.
        folder: Where to write.

    Returns:
        With the facts `scorecard`, and `intervals` of its scores.

    Raises:
        RecipeError: with the room's own words, if it found a mistake of the user's.
        StageFailedError: if it failed otherwise.
    """
    plan = plan_for(output_folder=folder)
    with EvaluationWatch(folder / PROGRESS_FILE, log, num_models=1 if plan.baseline is None else 2) as watch:
        launch("sft_core.evaluation", plan, folder, log, processes, watch.update)
    (folder / PROGRESS_FILE).unlink(missing_ok=True)
    files = {"scorecard": SCORECARD_FILE, "intervals": INTERVALS_FILE}
    facts = {name: orjson.loads((folder / file).read_bytes()) for name, file in files.items()}
    return StageOutcome(facts=facts, incidental=frozenset({"plan.json"}))
