"""By which number of an evaluation checkpoints are compared.

The Trainer keeps the best checkpoint, and stops early, by one number that each evaluation has. Under a sweep there is a
number for each setting, `eval_f1/top_k:20`, and without a suffix the best of them, `eval_f1`: either can be named.
"""

import difflib
from collections.abc import Collection
from typing import TYPE_CHECKING

from sft_core.errors import RecipeError
from sft_core.evaluation.answering.best import is_greater_better

if TYPE_CHECKING:
    from transformers import TrainingArguments

LOSS_SCORES = ("loss", "entropy", "mean_token_accuracy")
"""What each evaluation has, without `eval_`."""


def explain_missing(metric: str, answers: Collection[str]) -> str | None:
    """Say that evaluations will not have a number, and which they will; None if they will have it.

    Args:
        metric: With or without `eval_`.
        answers: What the scores of answers are called; empty where no prompts are answered.
    """
    name = metric.removeprefix("eval_")
    known = [*LOSS_SCORES, *answers]
    if name in known:
        return None
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    more = "" if answers else "; with training.num_eval_prompts there would be the metrics of `evaluation` as well"
    return (
        f"training.metric_for_best_model: evaluations have no number '{name}'{hint}; there are {', '.join(known)}{more}"
    )


def settle_best_metric(
    arguments: "TrainingArguments", greater_is_better: bool | None, answers: Collection[str]
) -> None:
    """Check, before training, that evaluations will have the number, and set in which direction it is better.

    Args:
        arguments: With `metric_for_best_model`; None: nothing is compared.
        greater_is_better: As the recipe says; None: losses are better if less, all else if more.
        answers: As in `explain_missing`.

    Raises:
        RecipeError: naming the numbers that there will be.
    """
    if arguments.metric_for_best_model is None:
        return
    name = arguments.metric_for_best_model.removeprefix("eval_")
    missing = explain_missing(name, answers)
    if missing is not None:
        raise RecipeError(missing)
    arguments.greater_is_better = is_greater_better(name) if greater_is_better is None else greater_is_better
