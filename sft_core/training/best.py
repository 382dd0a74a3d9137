"""Metric by which checkpoints are compared.

The Trainer finds the best checkpoint, and stops early, by one metric of the evaluations. With a sweep there is a score
for each setting, `eval_f1/top_k:20`, and without a suffix the best of them, `eval_f1`: either can be named.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

from sft_core.errors import RecipeError, did_you_mean
from sft_core.evaluation.answering.answers import is_greater_better

if TYPE_CHECKING:
    from transformers import TrainingArguments

LOSS_SCORES = ("loss", "entropy", "mean_token_accuracy")
"""Metrics that every evaluation has, without the prefix `eval_`."""


def explain_missing(metric: str, answers: Collection[str]) -> str | None:
    """Return a message if evaluations will not have a metric, with the metrics that they will have; else None.

    Args:
        metric: Name of the metric, with or without the prefix `eval_`.
        answers: Names of the scores of answers; empty if no prompts are answered.
    """
    name = metric.removeprefix("eval_")
    known = [*LOSS_SCORES, *answers]
    if name in known:
        return None
    hint = did_you_mean(name, known, "")
    more = "" if answers else "; with training.num_eval_prompts there would be the metrics of `evaluation` as well"
    return (
        f"training.metric_for_best_model: evaluations have no metric '{name}'{hint}; there are {', '.join(known)}{more}"
    )


def settle_best_metric(
    arguments: "TrainingArguments", greater_is_better: bool | None, answers: Collection[str]
) -> None:
    """Check, before training, that evaluations will have the metric, and set `greater_is_better` in the arguments.

    Args:
        arguments: `TrainingArguments`, changed in place. If `metric_for_best_model` is None, nothing is done.
        greater_is_better: The recipe's value. None: a loss is better if lower, any other metric if higher.
        answers: As for `explain_missing`.

    Raises:
        RecipeError: if they will not have it; the message lists the metrics that there will be.
    """
    if arguments.metric_for_best_model is None:
        return
    name = arguments.metric_for_best_model.removeprefix("eval_")
    missing = explain_missing(name, answers)
    if missing is not None:
        raise RecipeError(missing)
    arguments.greater_is_better = is_greater_better(name) if greater_is_better is None else greater_is_better
