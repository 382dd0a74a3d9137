"""Formats that were detected in a source, and the reasons, as numbers that can be summed over its shards.

formats      {"messages": 297}                       rows that became examples, by format
columns      {"messages": {"`messages`": 300}}       rows that a format claimed, by the columns that identified them
considered   {"messages": 300, "text": 300}          rows whose columns fit a format, chosen or not
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sft_core.data.formats.dialects import DIALECTS
from sft_core.data.formats.matching import DialectMatch

Verdict = dict[str, dict[str, Any]]


def verdict_of(matches: Mapping[DialectMatch, int], formats: Mapping[str, int]) -> Verdict:
    """Summarize a shard.

    Args:
        matches: Number of rows for each match.
        formats: Number of rows that became examples of each format.
    """
    columns: dict[str, Counter[str]] = {}
    considered: Counter[str] = Counter()
    for match, rows in matches.items():
        columns.setdefault(match.dialect.name, Counter())[match.columns] += rows
        considered.update(dict.fromkeys(match.candidates, rows))
    return _plain(Counter(formats), columns, considered)


def total_verdict(verdicts: Iterable[Mapping[str, Any]]) -> Verdict:
    """Sum the verdicts of a source's shards."""
    formats: Counter[str] = Counter()
    columns: dict[str, Counter[str]] = {}
    considered: Counter[str] = Counter()
    for verdict in verdicts:
        formats.update(verdict["formats"])
        considered.update(verdict["considered"])
        for name, rows in verdict["columns"].items():
            columns.setdefault(name, Counter()).update(rows)
    return _plain(formats, columns, considered)


def _plain(formats: Counter[str], columns: dict[str, Counter[str]], considered: Counter[str]) -> Verdict:
    return {
        "formats": dict(formats.most_common()),
        "columns": {name: dict(rows.most_common()) for name, rows in columns.items()},
        "considered": dict(considered.most_common()),
    }


def describe_verdict(verdict: Mapping[str, Any], rows_rejected: int) -> str:
    """Describe the detected formats of a source, the columns that identified them, and other formats that would fit.

    Args:
        verdict: `formats`, and `columns` and `considered` if they are known.
        rows_rejected: Number of rejected rows of the same source.
    """
    columns, considered = verdict.get("columns", {}), verdict.get("considered", {})
    formats = sorted(verdict["formats"].items(), key=lambda kv: -kv[1])
    found = [_describe_format(name, rows, columns.get(name, {})) for name, rows in formats]
    others = [f"{rows:,} would also fit {name}" for name, rows in considered.items() if name not in verdict["formats"]]
    rejected = [f"{rows_rejected:,} rows rejected"] if rows_rejected else []
    return "; ".join([*found, *others, *rejected]) or "no rows"


def _describe_format(name: str, rows: int, columns: Mapping[str, int]) -> str:
    description = next(dialect.description for dialect in DIALECTS if dialect.name == name)
    found = " or ".join(columns)
    return f"{rows:,} rows are {name} ({description}{f'; recognized by {found}' if found else ''})"
