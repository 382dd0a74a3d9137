"""Choice of the best of several values of a metric."""

from collections.abc import Sequence

from sft_core.evaluation.answering.answers import Measure


def is_greater_better(name: str) -> bool:
    """Return True if a greater value of a metric is better.

    This holds for all metrics but losses, whose names end with `loss`, as in transformers, or with `nll`.

    Args:
        name: Name of the metric, with or without the suffix of a setting.
    """
    return not name.partition("/")[0].endswith(("loss", "nll"))


def best_of(measures: Sequence[Measure], greater_is_better: bool) -> Measure:
    """Return the measure with the greatest or the least score; among equal ones the first."""
    choose = max if greater_is_better else min
    return choose(measures, key=lambda measure: measure.score)
