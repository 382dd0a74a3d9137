"""From a model and held-out rows to a scorecard, in a process of its own.

    {"eval_loss": 0.31, "eval_mean_token_accuracy": 0.93, "exact_match": 0.97, "baseline_eval_loss": 6.4,
    "baseline_exact_match": 0.0, …}

What always holds: the loss is a sum over tokens divided by their number, and answers come back in the order of the
prompts, so that scores do not depend on the batch size.

Importing the room does not import torch: the verb, `sft_core.evaluation.run.evaluate`, is imported where it runs.
"""

from sft_core.evaluation.config import EvaluationConfig
from sft_core.evaluation.plan import SAMPLES_FILE, SCORECARD_FILE, EvaluationPlan
from sft_core.evaluation.score import is_exact_match

__all__ = ["SAMPLES_FILE", "SCORECARD_FILE", "EvaluationConfig", "EvaluationPlan", "is_exact_match"]
