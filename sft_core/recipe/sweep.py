"""Sweeps: trials of one recipe with different values of some fields, and the choice of the best trial.

    grid      learning_rate [1e-4, 1e-3] × max_length [64, 128]   →  4 trials, the last path varying fastest
    random    learning_rate {low: 1e-5, high: 1e-3, log: true}    →  `num_trials` draws, the same for the same seed
    optuna    as random, but each draw depends on the scores so far

A trial is the recipe with overrides `--set path=value`, so it can be run again by itself. Artifacts that trials share,
above all their data, are computed once.
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
"""Sections that are the same for all trials: trials differ in what they learn, not in their names or where they run."""


class Range(Section):
    """Range of numbers from `low` to `high`, both included."""

    low: float
    high: float
    log: bool = False
    """Draw evenly on a logarithmic scale: as many between 1e-5 and 1e-4 as between 1e-4 and 1e-3."""
    int: bool = False
    """Draw integers."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError(f"expected `low` below `high`, found {self.low:g} and {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"`log` needs `low` above 0, found {self.low:g}")
        if self.int and (self.low % 1 or self.high % 1):
            raise ValueError(f"`int` needs `low` and `high` to be integers, found {self.low:g} and {self.high:g}")
        return self


def _kind(values: Any) -> str:
    return "range" if isinstance(values, dict | Range) else "values"


Values = Annotated[Annotated[list[Any], Tag("values")] | Annotated[Range, Tag("range")], Discriminator(_kind)]
Choices = dict[str, list[Any]]
Ranges = dict[str, Values]


class Space(Section):
    """Search space of a sweep: exactly one of `grid`, `random` and `optuna`."""

    grid: Choices | None = None
    """Path → values; every combination is a trial."""
    random: Ranges | None = None
    """Path → values or a range, drawn `num_trials` times."""
    optuna: Ranges | None = None
    """Path → values or a range, drawn by Optuna's TPE by the scores so far (`pip install 'sft[optuna]'`)."""
    num_trials: int = Field(default=10, ge=1, le=MAX_TRIALS)
    """Number of draws of `random` and `optuna`; a grid has as many trials as combinations."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Seed of the draws."""

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
        """Path → the values or the range to try."""
        return self.grid or self.random or self.optuna or {}


def overrides_of(space: Space) -> list[Overrides]:
    """Return all trials of a grid or of random draws; those of `optuna` depend on scores (`sft_core.recipe.tpe`)."""
    if space.grid is not None:
        return [dict(zip(space.grid, values, strict=True)) for values in itertools.product(*space.grid.values())]
    generator = random.Random(space.seed)
    return [{path: _draw(values, generator) for path, values in space.paths.items()} for _ in range(space.num_trials)]


def corners_of(space: Space) -> list[Overrides]:
    """Return trials that show before the first run whether all values of a space make valid recipes.

    Each trial has one value of one path, or one end of its range, and the first value of all other paths.
    """
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
    """Return an int if the range has integers: `1.0` is not a valid number of steps."""
    return round(number) if values.int else number


@dataclass(frozen=True, slots=True)
class Base:
    """Content of the recipe that trials are derived from. It is not checked, as it may be incomplete without a trial's
    values."""

    content: dict[str, Any]
    where: str
    """File of the recipe, for error messages."""

    @classmethod
    def read(cls, preset: str, overrides: Sequence[str], notify: Callable[[str], None]) -> Self:
        """Read a recipe file.

        Args:
            preset: The file.
            overrides: `dotted.path=value` each, for all trials.
            notify: Called with a line for each alias of TRL, transformers or trlX that was accepted.
        """
        return cls(read_content(Path(preset), overrides, notify), preset)

    def whole(self, trial: Recipe) -> Recipe:
        """Return the recipe without a trial's values; if it is invalid without them, return the given trial."""
        try:
            return self.trial({})
        except RecipeError:
            return trial

    def trial(self, overrides: Overrides, *more: str) -> Recipe:
        """Return the recipe of one trial.

        Raises:
            RecipeError: if the recipe is invalid.
        """
        content = copy.deepcopy(self.content)
        for override in (*as_sets(overrides), *more):
            lay_over(content, override)
        return parse_recipe(content, self.where)


def check_trials(base: Base, trials: Sequence[Overrides], check: Callable[[Recipe], Any]) -> list[Recipe]:
    """Create and check the recipes of all trials.

    Args:
        base: The recipe that trials are derived from.
        trials: Overrides of each trial.
        check: Called with each recipe; raises a `UserError` if something that the recipe needs is missing.

    Raises:
        RecipeError: if a trial's recipe is invalid or cannot be run; the message has the mistakes of all such trials.
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
    """Return overrides in the form that `--set` takes; each value is read back unchanged."""
    return [f"{path}={_as_yaml(value)}" for path, value in overrides.items()]


def as_command(recipe: str, overrides: Sequence[str]) -> str:
    """Return the command that runs one trial by itself."""
    return shlex.join(["sft", "run", recipe, *(word for one in overrides for word in ("--set", one))])


def _as_yaml(value: Any) -> str:
    if isinstance(value, str) and _reads_as(value) == value:
        return value
    return _as_flow(value)


def _as_flow(value: Any) -> str:
    """Return a value as YAML in one line, with every string in quotes."""
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
    """Read options `path=a,b,c` and, if ranges are allowed, `path={low: a, high: b}`.

    Args:
        options: Values of the option, as on the command line.
        name: Name of the option, for error messages.
        has_ranges: True if ranges are allowed.

    Returns:
        Path → list of values, or the mapping of a range.

    Raises:
        RecipeError: if an option has neither form.
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
