"""Which of several values of a metric is the best."""

from collections.abc import Sequence

from sft_core.evaluation.answering.answers import Measure


def is_greater_better(name: str) -> bool:
    """Whether more of a metric is better: of all but losses, which end with `loss`, as transformers has it, or
    with `nll`.

    Args:
        name: With or without the suffix of a setting.
    """
    return not name.partition("/")[0].endswith(("loss", "nll"))


def best_of(measures: Sequence[Measure], greater_is_better: bool) -> Measure:
    """Return the one of the greatest score, or of the least; of equal ones the first."""
    choose = max if greater_is_better else min
    return choose(measures, key=lambda measure: measure.score)
