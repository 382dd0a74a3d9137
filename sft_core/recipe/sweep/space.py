"""Search space of a sweep, and the trials that can be drawn from it without knowing any score."""

import itertools
import math
import random
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Discriminator, Field, Tag, model_validator

from sft_core.section import Section

Overrides = dict[str, Any]
"""Dotted path → value."""
MAX_TRIALS = 10_000
NOT_SWEPT = ("name", "runtime", "registry")
"""Sections that are the same for all trials: trials differ in what they learn, not in their names or where they run."""


class SweepRange(Section):
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
    return "range" if isinstance(values, dict | SweepRange) else "values"


Values = Annotated[Annotated[list[Any], Tag("values")] | Annotated[SweepRange, Tag("range")], Discriminator(_kind)]
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
    def paths(self) -> Mapping[str, list[Any] | SweepRange]:
        """Path → the values or the range to try."""
        return self.grid or self.random or self.optuna or {}


def overrides_of(space: Space) -> list[Overrides]:
    """Return all trials of a grid or of random draws; those of `optuna` depend on scores (`Tpe`)."""
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


def _draw(values: list[Any] | SweepRange, generator: random.Random) -> Any:
    if isinstance(values, list):
        return generator.choice(values)
    if values.int and not values.log:
        return generator.randint(int(values.low), int(values.high))
    low, high = (math.log(values.low), math.log(values.high)) if values.log else (values.low, values.high)
    drawn = generator.uniform(low, high)
    return _number(values, min(max(math.exp(drawn) if values.log else drawn, values.low), values.high))


def _number(values: SweepRange, number: float) -> float:
    """Return an int if the range has integers: `1.0` is not a valid number of steps."""
    return round(number) if values.int else number
