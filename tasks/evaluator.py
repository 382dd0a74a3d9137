"""Run the evaluator in a process of its own, and tell how far it is."""

from pathlib import Path
from typing import Any

import orjson

from sft_core.evaluation import INTERVALS_FILE, PROGRESS_FILE, SCORECARD_FILE, EvaluationPlan
from sft_core.launch import Launch
from tasks.launching import launch
from tasks.watching import EvaluationWatch


def run_evaluator(plan: EvaluationPlan, log: Path, processes: Launch) -> dict[str, Any]:
    """Evaluate into the plan's folder.

    Args:
        plan: What is measured.
        log: Gets all that the process prints.
        processes: The one that evaluates: on which kind of device.

    Returns:
        For the manifest: `scorecard`, and `intervals` of its scores.

    Raises:
        RecipeError: with the room's own words, if it found a mistake of the user's.
        StageFailedError: if it failed otherwise.
    """
    folder = plan.output_folder
    with EvaluationWatch(folder / PROGRESS_FILE, log, num_models=1 if plan.baseline is None else 2) as watch:
        launch("evaluation", plan, folder, log, processes, watch.update)
    (folder / PROGRESS_FILE).unlink(missing_ok=True)
    files = {"scorecard": SCORECARD_FILE, "intervals": INTERVALS_FILE}
    return {name: orjson.loads((folder / file).read_bytes()) for name, file in files.items()}
