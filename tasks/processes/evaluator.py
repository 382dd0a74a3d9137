"""Run the evaluator in a process of its own, and report its progress."""

from collections.abc import Callable
from pathlib import Path

import orjson

from sft_core.evaluation import INTERVALS_FILE, PROGRESS_FILE, SCORECARD_FILE, EvaluationPlan
from sft_core.processes.launch import Launch
from sft_core.store.records import StageOutcome
from tasks.processes.launching import launch
from tasks.processes.watching import EvaluationWatch


def run_evaluator(plan_for: Callable[..., EvaluationPlan], log: Path, processes: Launch, folder: Path) -> StageOutcome:
    """Evaluate one or two models in a child process, and write the results into a folder.

    Args:
        plan_for: Called with `output_folder`; returns the plan of the evaluation.
        log: File to which the output of the process is appended.
        processes: The process that evaluates, and its kind of device.
        folder: Folder for the results.

    Returns:
        The outcome with two facts: `scorecard`, and `intervals` with the confidence intervals of its scores.

    Raises:
        RecipeError: with the evaluator's own message, if the recipe or its inputs are wrong.
        StageFailedError: if the process failed for another reason.
    """
    plan = plan_for(output_folder=folder)
    with EvaluationWatch(folder / PROGRESS_FILE, log, num_models=1 if plan.baseline is None else 2) as watch:
        launch("sft_core.evaluation", plan, folder, log, processes, watch.update)
    (folder / PROGRESS_FILE).unlink(missing_ok=True)
    files = {"scorecard": SCORECARD_FILE, "intervals": INTERVALS_FILE}
    facts = {name: orjson.loads((folder / file).read_bytes()) for name, file in files.items()}
    return StageOutcome(facts=facts, incidental=frozenset({"plan.json"}))
