"""Computation of all metrics of a recipe over all answers."""

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from sft_core.evaluation.answering.answers import Answers, Measure
from sft_core.evaluation.answering.config import AnsweringConfig
from sft_core.evaluation.answering.library_metrics import bleu, chrf, rouge
from sft_core.evaluation.answering.metric_names import BUILT_IN, MetricNames
from sft_core.evaluation.answering.scoring import Scoring
from sft_core.evaluation.answering.text_metrics import is_exact_match, is_prefix_match, token_f1
from sft_core.evaluation.answering.user_metrics import measure_by_function


def measure(config: AnsweringConfig, scoring: Scoring, answers: Answers) -> list[Measure]:
    """Compute all metrics of a recipe.

    Args:
        config: Section with the names of the metrics.
        scoring: References to the functions among them.
        answers: Answers to score, at least one.

    Raises:
        RecipeError: if a function of the user fails, or returns something that is not a metric.
    """
    names = MetricNames.parse(config.metrics)
    pairs = list(zip(answers.outputs, answers.references, strict=True))
    taken = [_BY_NAME[name](name, pairs, config) for name in names.built_in]
    taken += [
        _mean_of(name, [bool(re.search(regex, output)) for output in answers.outputs])
        for name, regex in names.patterns.items()
    ]
    for function in scoring.functions:
        taken += measure_by_function(function, answers, taken={one.name for one in taken})
    return taken


Pairs = Sequence[tuple[str, str]]
"""Pairs of output and reference."""


def _mean_of(name: str, values: Sequence[float | bool]) -> Measure:
    return Measure(name, statistics.fmean(values), values)


def _exact_match(name: str, pairs: Pairs, config: AnsweringConfig) -> Measure:
    return _mean_of(name, [is_exact_match(output, reference, config.answer_pattern) for output, reference in pairs])


def _each(score: Callable[[str, str], float | bool], name: str, pairs: Pairs, config: AnsweringConfig) -> Measure:
    return _mean_of(name, [score(output, reference) for output, reference in pairs])


def _by_library(take: Callable[[str, Pairs], Measure], name: str, pairs: Pairs, config: AnsweringConfig) -> Measure:
    return take(name, pairs)


_BY_NAME: Mapping[str, Callable[[str, Pairs, AnsweringConfig], Measure]] = {
    "exact_match": _exact_match,
    "prefix_match": partial(_each, is_prefix_match),
    "f1": partial(_each, token_f1),
    "bleu": partial(_by_library, bleu),
    "chrf": partial(_by_library, chrf),
    "rouge1": partial(_by_library, rouge),
    "rouge2": partial(_by_library, rouge),
    "rougeL": partial(_by_library, rouge),
}
assert _BY_NAME.keys() == BUILT_IN.keys()
