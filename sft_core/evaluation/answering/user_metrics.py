"""A metric of the user's: a function as trlX takes it.

    def reward(samples, prompts, outputs, references, **metadata):
        return {"brevity": [1 / (1 + len(output)) for output in outputs], "longest": max(map(len, outputs))}

It gets lists with one entry a prompt: `samples` are prompts continued by their answers, `metadata` the columns of the
held-out rows by name; a function that takes fewer arguments gets those it names. A list that it returns is one value an
answer, and its mean the score; a number is the score itself. NaN and None say nothing about an answer, and are in no
mean.
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
"""Of a row of samples, beside its metrics."""


def measure_by_function(ref: FunctionRef, answers: Answers, taken: Collection[str]) -> list[Measure]:
    """Call a function of the user's.

    Args:
        ref: Which.
        answers: What to score.
        taken: Names that other metrics have.

    Raises:
        RecipeError: if it fails, or returns what is no metric.
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
    """All that there is, or what the function names; columns never stand in for the four that are ours."""
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
        raise RecipeError(f"{what}: the name of a number has letters, digits and `_-.: `, found {name!r}")
    if name in SAMPLE_COLUMNS or name in taken:
        raise RecipeError(f"{what}: another number or column is called '{name}'; give yours another name")


def _as_measure(name: str, value: Any, num_answers: int, what: str) -> Measure:
    """A list, an array or a tensor is one value an answer; a number is the score."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, list | tuple):
        if len(plain) != num_answers:
            raise RecipeError(f"{what}: '{name}' has {len(plain)} values for {num_answers} answers")
        values = [_as_value(one, name, what) for one in plain]
        told = [float(one) for one in values if one is not None]
        if not told:
            raise RecipeError(f"{what}: '{name}' has a number for none of {num_answers} answers")
        return Measure(name, statistics.fmean(told), values)
    score = _as_value(plain, name, what)
    if score is None:
        raise RecipeError(f"{what}: '{name}' is {plain}, which is no score")
    return Measure(name, float(score))


def _as_value(value: Any, name: str, what: str) -> Value:
    value = value.item() if hasattr(value, "item") else value
    if value is None or isinstance(value, bool):
        return value
    if not isinstance(value, int | float):
        raise RecipeError(f"{what}: '{name}' is to be numbers, found {_shown(value)}")
    return float(value) if math.isfinite(value) else None


def _shown(value: Any) -> str:
    return f"{type(value).__name__} {value!r}"[:80]
