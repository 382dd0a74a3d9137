"""From a model and held-out rows to a scorecard, in a process of its own.

    {"eval_loss": 0.31, "eval_mean_token_accuracy": 0.93, "exact_match": 0.97, "baseline_eval_loss": 6.4,
    "baseline_exact_match": 0.0, …}

What always holds: the loss is a sum over tokens divided by their number, and each score that is a mean over rows or
their tokens comes with what each row adds to it. Answers and their metrics are `sft_core.evaluation.answering`'s.

Importing the room does not import torch: the verb, `sft_core.evaluation.run.evaluate`, is imported where it runs.
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
    "EvaluationPlan",
    "LmEvalConfig",
    "LocatedTasks",
    "files_beside_run",
    "locate_tasks",
]
