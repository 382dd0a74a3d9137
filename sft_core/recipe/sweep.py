"""A sweep: one recipe in several trials, each with its own values for some fields, and which of them is best.

    grid      learning_rate [1e-4, 1e-3] × max_length [64, 128]   →  4 trials, the last path turning fastest
    random    learning_rate {low: 1e-5, high: 1e-3, log: true}    →  `num_trials` draws, the same for the same seed
    optuna    as random, each draw made with a look at the scores so far

A trial is the recipe with `--set path=value` laid over it, so it can be run again by itself, and what trials have in
common, their data above all, is made once.
"""

import copy
import itertools
import json
import math
import random
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import Discriminator, Field, Tag, model_validator

from sft_core.errors import RecipeError, UserError
from sft_core.recipe import Recipe
from sft_core.recipe.recipe_file import lay_over, load_value, parse_recipe, read_content
from sft_core.registry.promotion import Direction, less_is_better
from sft_core.section import Section
from sft_core.store.fingerprint import digest

Overrides = dict[str, Any]
"""Dotted path → value."""
MAX_TRIALS = 10_000
NOT_SWEPT = ("name", "runtime", "registry")
"""Trials differ in what they learn, and not in what they are called or where they run."""


class Range(Section):
    """Numbers from `low` to `high`, both of them too."""

    low: float
    high: float
    log: bool = False
    """Evenly on a logarithmic scale: as many between 1e-5 and 1e-4 as between 1e-4 and 1e-3."""
    int: bool = False
    """Whole numbers."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"expected `low` below `high`, found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"`log` needs `low` above 0, found {self.low:g}")
        if self.int and (self.low % 1 or self.high % 1):
            raise ValueError(f"`int` needs whole ends, found {self.low:g} and {self.high:g}")
        return self


def _kind(values: Any) -> str:
    return "range" if isinstance(values, dict | Range) else "values"


Values = Annotated[Annotated[list[Any], Tag("values")] | Annotated[Range, Tag("range")], Discriminator(_kind)]
Choices = dict[str, list[Any]]
Ranges = dict[str, Values]


class Space(Section):
    """What is tried: one of `grid`, `random` and `optuna`."""

    grid: Choices | None = None
    """Path → values; every combination is a trial."""
    random: Ranges | None = None
    """Path → values or a range, drawn `num_trials` times."""
    optuna: Ranges | None = None
    """The same, drawn by Optuna's TPE, which looks at the scores so far (`pip install 'sft[optuna]'`)."""
    num_trials: int = Field(default=10, ge=1, le=MAX_TRIALS)
    """Draws of `random` and `optuna`; a grid has as many trials as combinations."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the draws."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in ("grid", "random", "optuna") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of grid, random and optuna, found {' and '.join(given) or 'none'}")
        if not self.paths:
            raise ValueError(f"{given[0]}: expected at least one path, found none")
        for path, values in self.paths.items():
            if isinstance(values, list) and not values:
                raise ValueError(f"{given[0]}: expected values for {path}, found none")
            if path.split(".")[0] in NOT_SWEPT:
                raise ValueError(f"{given[0]}: {path} is the same for all trials; set it with --set")
        if self.grid is not None and (count := math.prod(map(len, self.grid.values()))) > MAX_TRIALS:
            raise ValueError(f"grid: expected at most {MAX_TRIALS:,} combinations, found {count:,}")
        return self

    @property
    def paths(self) -> Mapping[str, list[Any] | Range]:
        """Path → what is tried there."""
        return self.grid or self.random or self.optuna or {}


def overrides_of(space: Space) -> list[Overrides]:
    """All trials of a grid or of random draws; those of `optuna` hang on scores (`sft_core.recipe.tpe`)."""
    if space.grid is not None:
        return [dict(zip(space.grid, values, strict=True)) for values in itertools.product(*space.grid.values())]
    generator = random.Random(space.seed)
    return [{path: _draw(values, generator) for path, values in space.paths.items()} for _ in range(space.num_trials)]


def corners_of(space: Space) -> list[Overrides]:
    """For every path, each of its values, or both ends of its range, with the first of all other paths: what tells
    before the first trial whether a space is made of recipes."""
    ends = {
        path: values if isinstance(values, list) else [_number(values, values.low), _number(values, values.high)]
        for path, values in space.paths.items()
    }
    first = {path: values[0] for path, values in ends.items()}
    return [{**first, path: value} for path, values in ends.items() for value in values]


def _draw(values: list[Any] | Range, generator: random.Random) -> Any:
    if isinstance(values, list):
        return generator.choice(values)
    if values.int and not values.log:
        return generator.randint(int(values.low), int(values.high))
    low, high = (math.log(values.low), math.log(values.high)) if values.log else (values.low, values.high)
    drawn = generator.uniform(low, high)
    return _number(values, min(max(math.exp(drawn) if values.log else drawn, values.low), values.high))


def _number(values: Range, number: float) -> float:
    """An int where these are asked for: `1.0` would be no number of steps."""
    return round(number) if values.int else number


@dataclass(frozen=True, slots=True)
class Base:
    """The recipe that trials are made of, unchecked: by itself it need not be whole."""

    content: dict[str, Any]
    where: str

    @classmethod
    def read(cls, preset: str, overrides: Sequence[str], notify: Callable[[str], None]) -> Self:
        """Read a recipe's file.

        Args:
            preset: The file.
            overrides: `dotted.path=value` each, for all trials.
            notify: Gets a line for each name that was understood though it is not ours.
        """
        return cls(read_content(Path(preset), overrides, notify), preset)

    def whole(self, trial: Recipe) -> Recipe:
        """The recipe by itself; where it is none without what is tried, a trial's."""
        try:
            return self.trial({})
        except RecipeError:
            return trial

    def trial(self, overrides: Overrides, *more: str) -> Recipe:
        """The recipe of one trial.

        Raises:
            RecipeError: if it is none.
        """
        content = copy.deepcopy(self.content)
        for override in (*as_sets(overrides), *more):
            lay_over(content, override)
        return parse_recipe(content, self.where)


def check_trials(base: Base, trials: Sequence[Overrides], check: Callable[[Recipe], Any]) -> list[Recipe]:
    """Make the recipes of all trials.

    Args:
        base: What they are made of.
        trials: What is laid over it.
        check: Raises a `UserError` where a recipe asks for something that is not there.

    Raises:
        RecipeError: with the mistakes of every trial that is no recipe, or none that can be run.
    """
    recipes, mistakes = [], []
    for number, overrides in enumerate(trials, 1):
        try:
            recipe = base.trial(overrides)
            check(recipe)
            recipes.append(recipe)
        except UserError as error:
            which = f"trial {number} ({', '.join(as_sets(overrides))})"
            mistakes += [f"{which}: {line}" for line in str(error).splitlines()]
    if mistakes:
        raise RecipeError("\n".join(mistakes))
    return recipes


def as_sets(overrides: Overrides) -> list[str]:
    """Overrides as `--set` takes them; each value reads back as itself."""
    return [f"{path}={_as_yaml(value)}" for path, value in overrides.items()]


def as_command(recipe: str, overrides: Sequence[str]) -> str:
    """The command that runs one trial by itself."""
    return shlex.join(["sft", "run", recipe, *(word for one in overrides for word in ("--set", one))])


def _as_yaml(value: Any) -> str:
    if isinstance(value, str) and _reads_as(value) == value:
        return value
    return _as_flow(value)


def _as_flow(value: Any) -> str:
    """YAML in one line, every text in quotes."""
    if isinstance(value, str):
        return yaml.safe_dump(value, default_style='"', width=math.inf).rstrip("\n")
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_as_flow(key)}: {_as_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_as_flow, value)) + "]"
    return json.dumps(value)


def _reads_as(text: str) -> Any:
    try:
        return load_value(text)
    except RecipeError:
        return None


def parse_paths(options: Sequence[str], name: str, has_ranges: bool) -> dict[str, Any]:
    """Read `path=a,b,c` and, where ranges are allowed, `path={low: a, high: b}`.

    Args:
        options: As on the command line.
        name: Of the option, for messages.
        has_ranges: Whether there may be ranges.

    Raises:
        RecipeError: if one is neither.
    """
    found: dict[str, Any] = {}
    for option in options:
        path, equals, text = option.partition("=")
        if not equals or not path:
            expected = "PATH=a,b,…" + (" or PATH={low: a, high: b}" if has_ranges else "")
            raise RecipeError(f"{name}: expected {expected}, found '{option}'")
        values = load_value(text if text.lstrip().startswith("[") else f"[{text}]")
        is_range = has_ranges and len(values) == 1 and isinstance(values[0], dict) and "low" in values[0]
        found[path.strip()] = values[0] if is_range else values
    return found


def goal_of(recipe: Recipe, metric: str | None, direction: Direction | None) -> tuple[str, Direction]:
    """What is compared, and which way: what the recipe's gate compares, unless another metric is named; the direction
    of that is told by its name."""
    gate = recipe.registry.gate
    if metric is None or metric == gate.metric:
        return gate.metric, direction or gate.direction
    return metric, direction or ("minimize" if less_is_better(metric) else "maximize")


def best_of(scores: Sequence[float | None], direction: Direction) -> int | None:
    """Position of the best score; of equal ones the first. None if there is no number among them."""
    known = [
        (score if direction == "minimize" else -score, number)
        for number, score in enumerate(scores)
        if score is not None and math.isfinite(score)
    ]
    return min(known)[1] if known else None


def sweep_id(first: str, space: Space, metric: str, direction: Direction, at_once: int) -> str:
    """Name a sweep by all that decides its trials: the same sweep, started again, is the same one.

    Args:
        first: The key of its first trial's run, which covers its data and code.
        space: What is tried.
        metric: What is compared.
        direction: Which way.
        at_once: Trials that are drawn together; it decides only what `optuna` draws.
    """
    return digest([first, space, metric, direction, at_once if space.optuna is not None else 0])[:12]
