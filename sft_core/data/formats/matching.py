"""Recognition of a row's dialect by its columns, and the reason if no dialect fits."""

import functools
from dataclasses import dataclass

from sft_core.data.formats.dialects import DIALECTS, Dialect, Fields

MAX_COLUMNS_NAMED = 8
"""Largest number of columns named in a reason, so that many rows can share the reason and people can read it."""
_DISTINCT_ROWS_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class DialectMatch:
    """Dialect that a row's columns decide, the columns that decide it, and the other dialects that would fit."""

    dialect: Dialect
    columns: str
    candidates: tuple[str, ...]
    """Names of all dialects that the columns fit, the chosen one first."""


@functools.lru_cache(maxsize=_DISTINCT_ROWS_REMEMBERED)
def match_dialect(columns: tuple[str, ...], dataset_format: str) -> DialectMatch | None:
    """Find the dialect of a row; None if no dialect fits.

    Args:
        columns: Names of the row's columns that are not null.
        dataset_format: A dialect's name, or `auto`.
    """
    present = set(columns)
    fitting = [
        (dialect, alternative)
        for dialect in _allowed(dataset_format)
        for alternative in dialect.columns
        if present.issuperset(alternative)
    ]
    if not fitting:
        return None
    dialect, alternative = fitting[0]
    return DialectMatch(dialect, quoted(alternative), tuple(dict.fromkeys(dialect.name for dialect, _ in fitting)))


def why_unmatched(fields: Fields, present: Fields, dataset_format: str) -> str:
    """Return the reason why no dialect fits. It names what the row lacks for the alternative that comes closest, among
    those of which the row has some column."""
    candidates = [
        (sum(column not in fields for column in alternative), dialect, alternative)
        for dialect in _allowed(dataset_format)
        for alternative in dialect.columns
        if any(column in fields for column in alternative)
    ]
    if candidates:
        missing, dialect, alternative = min(candidates, key=lambda candidate: candidate[0])
        lacking = sorted(column for column in alternative if column not in present)
        kind = "null" if missing == 0 else "missing"
        return f"{quoted(lacking)} {'is' if len(lacking) == 1 else 'are'} {kind}, needed for {dialect.name}"
    if dataset_format != "auto":
        (dialect,) = _allowed(dataset_format)
        return f"not {dialect.name}: expected {' or '.join(quoted(alternative) for alternative in dialect.columns)}"
    return f"columns {_some(sorted(fields)) or '(none)'} fit no known format"


def quoted(names: list[str] | tuple[str, ...]) -> str:
    """Return the names of columns in backticks, for a sentence."""
    return ", ".join(f"`{name}`" for name in names)


def _some(names: list[str]) -> str:
    more = len(names) - MAX_COLUMNS_NAMED
    return quoted([name[:40] for name in names[:MAX_COLUMNS_NAMED]]) + (f" and {more} more" if more > 0 else "")


def _allowed(dataset_format: str) -> list[Dialect]:
    return [dialect for dialect in DIALECTS if dataset_format in ("auto", dialect.name)]
