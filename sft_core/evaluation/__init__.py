"""Evaluation of a model on held-out rows, in a separate process; the result is a scorecard.

    {"eval_loss": 0.31, "eval_mean_token_accuracy": 0.93, "exact_match": 0.97, "baseline_eval_loss": 6.4,
    "baseline_exact_match": 0.0, …}

The loss is always a sum over tokens divided by their number. Each score that is a mean over rows or their tokens is
stored with the contribution of each row. Answers and their metrics are in `sft_core.evaluation.answering`.

Importing this package does not import torch: `sft_core.evaluation.run.evaluate` is imported only in the process that
runs it.
"""

from sft_core.evaluation.config import EvaluationConfig
from sft_core.evaluation.harness import LmEvalConfig, LocatedTasks, locate_tasks
from sft_core.evaluation.plan import (
    HARNESS_SAMPLES_FILE,
    INTERVALS_FILE,
    PROGRESS_FILE,
    SAMPLES_FILE,
    SCORECARD_FILE,
    SCORED_ITEMS_FILE,
    EvaluationInputs,
    EvaluationPlan,
    files_beside_run,
)

__all__ = [
    "HARNESS_SAMPLES_FILE",
    "INTERVALS_FILE",
    "PROGRESS_FILE",
    "SAMPLES_FILE",
    "SCORECARD_FILE",
    "SCORED_ITEMS_FILE",
    "EvaluationConfig",
    "EvaluationInputs",
    "EvaluationPlan",
    "LmEvalConfig",
    "LocatedTasks",
    "files_beside_run",
    "locate_tasks",
]
