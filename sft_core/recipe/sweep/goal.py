"""Comparison of trials by a metric, and the id of a sweep."""

import math
from collections.abc import Sequence

from sft_core.recipe import Recipe
from sft_core.recipe.sweep.space import Space
from sft_core.registry.promotion import Direction, less_is_better
from sft_core.store.fingerprint import digest


def goal_of(recipe: Recipe, metric: str | None, direction: Direction | None) -> tuple[str, Direction]:
    """Return the metric by which trials are compared, and its direction.

    By default both are those of the recipe's gate. The direction of another metric is inferred from its name.
    """
    gate = recipe.registry.gate
    if metric is None or metric == gate.metric:
        return gate.metric, direction or gate.direction
    return metric, direction or ("minimize" if less_is_better(metric) else "maximize")


def best_of(scores: Sequence[float | None], direction: Direction) -> int | None:
    """Return the position of the best score, the first of equal ones; None if no score is a finite number."""
    known = [
        (score if direction == "minimize" else -score, number)
        for number, score in enumerate(scores)
        if score is not None and math.isfinite(score)
    ]
    return min(known)[1] if known else None


def sweep_id(first: str, space: Space, metric: str, direction: Direction, at_once: int) -> str:
    """Return the id of a sweep: a digest of everything that determines its trials, so the same sweep has the same id.

    Args:
        first: Key of its first trial's run, which covers its data and code.
        space: The search space.
        metric: Metric by which trials are compared.
        direction: Direction of the metric.
        at_once: Number of trials that are drawn together; it affects only the draws of `optuna`.
    """
    return digest([first, space, metric, direction, at_once if space.optuna is not None else 0])[:12]
