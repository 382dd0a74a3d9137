"""Names in `metrics`: built-in metrics, patterns, and functions of the user."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from sft_core.errors import did_you_mean

BUILT_IN: Mapping[str, str | None] = {
    "exact_match": None,
    "prefix_match": None,
    "f1": None,
    "bleu": "sacrebleu",
    "chrf": "sacrebleu",
    "rouge1": "rouge-score",
    "rouge2": "rouge-score",
    "rougeL": "rouge-score",
}
"""Built-in metric → the additional library that it needs, or None."""

PATTERN = "regex:"


@dataclass(frozen=True, slots=True)
class MetricNames:
    """The metrics of a recipe, sorted by kind."""

    built_in: tuple[str, ...]
    patterns: dict[str, str]
    """Name of the score (`regex`, `regex_2`, …) → regular expression."""
    functions: tuple[str, ...]
    """`package.module.function` or `path/to/file.py:function`."""

    @classmethod
    def parse(cls, metrics: Sequence[str]) -> Self:
        """Sort the names of metrics by kind.

        Raises:
            ValueError: if a name is of no known kind, or is listed twice.
        """
        doubled = next((name for index, name in enumerate(metrics) if name in metrics[:index]), None)
        if doubled is not None:
            raise ValueError(f"'{doubled}' is listed twice")
        patterns = [name.removeprefix(PATTERN) for name in metrics if name.startswith(PATTERN)]
        others = [name for name in metrics if not name.startswith(PATTERN) and name not in BUILT_IN]
        for pattern in patterns:
            _check_pattern(pattern)
        for name in others:
            if "." not in name and ":" not in name:
                known = (*BUILT_IN, f"{PATTERN}PATTERN", "package.module.function")
                raise ValueError(f"there is no metric '{name}'{did_you_mean(name, known)}")
        return cls(
            built_in=tuple(name for name in metrics if name in BUILT_IN),
            patterns={"regex" if at == 1 else f"regex_{at}": pattern for at, pattern in enumerate(patterns, 1)},
            functions=tuple(_as_path(name) for name in others),
        )

    @property
    def libraries(self) -> tuple[str, ...]:
        """Additional libraries that the built-in metrics need."""
        return tuple(sorted({library for name in self.built_in if (library := BUILT_IN[name])}))

    @property
    def known_scores(self) -> tuple[str, ...]:
        """Names of the scores of all metrics except functions."""
        return (*self.built_in, *self.patterns)


def _as_path(name: str) -> str:
    """Write `package.module:function`, the notation of entry points, as `package.module.function`."""
    module, colon, function = name.rpartition(":")
    return f"{module}.{function}" if colon and not module.endswith(".py") else name


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"'{PATTERN}{pattern}' is not a regular expression: {error}") from error
