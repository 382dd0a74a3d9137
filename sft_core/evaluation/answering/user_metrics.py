"""Metrics of the user: functions with the signature of trlX's `metric_fn`.

    def reward(samples, prompts, outputs, references, **metadata):
        return {"brevity": [1 / (1 + len(output)) for output in outputs], "longest": max(map(len, outputs))}

The arguments are lists with one entry per prompt: `samples` are texts of prompt and answer together, `metadata` the
columns of the held-out rows by name. A function with fewer arguments gets only those that it names. In the returned
dictionary, a list has one value per answer, and the score is its mean; a number is the score itself. NaN and None mean
that there is no value for an answer, and are not part of the mean.
"""

import inspect
import math
import re
import statistics
from collections.abc import Callable, Collection, Mapping
from typing import Any

from sft_core.errors import RecipeError
from sft_core.evaluation.answering.answers import Answers, Measure, Value
from sft_core.evaluation.answering.scoring import ROLE
from sft_core.store.records import FunctionRef
from sft_core.store.user_function import load_function

SAMPLE_COLUMNS = frozenset({"step", "model", "source", "row", "prompt", "output", "reference", "prompt_tokens_cut"})
"""Columns of a sample other than its metrics."""


def measure_by_function(ref: FunctionRef, answers: Answers, taken: Collection[str]) -> list[Measure]:
    """Call a function of the user, and return its scores.

    Args:
        ref: Reference to the function.
        answers: Answers to score.
        taken: Names of the other metrics.

    Raises:
        RecipeError: if the function fails, or returns something that is not a metric.
    """
    function = load_function(ref, ROLE, "samples, prompts and outputs")
    what = f"{ROLE} '{ref.name}'"
    arguments = _arguments_for(function, answers, what)
    try:
        result = function(**arguments)
    except Exception as error:
        raise RecipeError(f"{what} failed: {type(error).__name__}: {error}") from error
    if not isinstance(result, Mapping) or not result:
        raise RecipeError(f"{what}: expected a dictionary of name → numbers, found {_shown(result)}")
    for name in result:
        _check_name(name, taken, what)
    return [_as_measure(name, value, len(answers.outputs), what) for name, value in result.items()]


def _arguments_for(function: Callable[..., Any], answers: Answers, what: str) -> dict[str, Any]:
    """Return all arguments, or those that the function names. A column never replaces one of the four fixed ones."""
    offered = {
        **answers.metadata,
        "samples": answers.samples,
        "prompts": answers.prompts,
        "outputs": answers.outputs,
        "references": answers.references,
    }
    parameters = inspect.signature(function).parameters.values()
    asked = [one for one in parameters if one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)]
    missing = [one.name for one in asked if one.default is one.empty and one.name not in offered]
    if missing:
        raise RecipeError(f"{what} asks for '{missing[0]}'; there are {', '.join(sorted(offered))}")
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return offered
    return {one.name: offered[one.name] for one in asked if one.name in offered}


def _check_name(name: Any, taken: Collection[str], what: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[\w.\-: ]+", name, re.ASCII):
        raise RecipeError(f"{what}: expected a name of letters, digits and `_-.: ` for a number, found {name!r}")
    if name in SAMPLE_COLUMNS or name in taken:
        raise RecipeError(f"{what}: another number or column is called '{name}'; give yours another name")


def _as_measure(name: str, value: Any, num_answers: int, what: str) -> Measure:
    """Convert a result: a list, an array or a tensor has one value per answer; a number is the score."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, list | tuple):
        if len(plain) != num_answers:
            raise RecipeError(f"{what}: '{name}' has {len(plain)} values for {num_answers} answers")
        values = [_as_value(one, name, what) for one in plain]
        numbers = [float(one) for one in values if one is not None]
        if not numbers:
            raise RecipeError(f"{what}: '{name}' has no number for any of {num_answers} answers")
        return Measure(name, statistics.fmean(numbers), values)
    score = _as_value(plain, name, what)
    if score is None:
        raise RecipeError(f"{what}: '{name}' is {plain}, which is not a score")
    return Measure(name, float(score))


def _as_value(value: Any, name: str, what: str) -> Value:
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, int | float):
        raise RecipeError(f"{what}: expected numbers for '{name}', found {_shown(value)}")
    return float(value) if math.isfinite(value) else None


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"[:80]
