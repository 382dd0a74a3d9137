"""Which of several values of a metric is the best."""

from collections.abc import Iterable


def is_greater_better(name: str) -> bool:
    """Whether more of a metric is better: of all but losses, which end with `loss`, as transformers has it, or
    with `nll`.

    Args:
        name: With or without the suffix of a setting.
    """
    return not name.partition("/")[0].endswith(("loss", "nll"))


def best_of(values: Iterable[float], greater_is_better: bool) -> float:
    """Return the greatest, or the least."""
    return max(values) if greater_is_better else min(values)
