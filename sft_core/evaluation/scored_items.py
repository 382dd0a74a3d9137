"""Contribution of each held-out row to each score, and the confidence intervals that follow from them.

    metric                source  row  numerator  denominator
    eval_loss             gsm8k     4       31.5           12      31.5 nats over 12 targets
    exact_match           gsm8k     4        1.0            1
    eval_loss             gsm8k     9        2.5            8

A row that was split into several segments is one item, because its tokens are not independent. If a source has several
files, rows of these with the same number are one item as well.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.evaluation.answering import Prompts
from sft_core.evaluation.bootstrap import score_interval
from sft_core.store.records import SCORED_ITEMS

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]

LOSS, ACCURACY = "eval_loss", "eval_mean_token_accuracy"


def items_of_tokens(sources: Sequence[str], source: Integers, row: Integers, sums: Numbers) -> pa.Table:
    """Add up the sums of segments by row.

    Args:
        sources: Names of the sources.
        source: [segments] index of each segment's source.
        row: [segments] row number of each segment.
        sums: [4, segments] weighted loss, weight, hits and targets.

    Returns:
        `SCORED_ITEMS` of the loss and of the accuracy, ordered by source and row; rows without a target are skipped.
    """
    stride = int(row.max(initial=0)) + 1
    rows, position = np.unique(source * stride + row, return_inverse=True)
    loss, weight, hits, targets = (_sums(position, part, len(rows)) for part in sums)
    names = np.array(sources or ("",), object)[rows // stride]
    return pa.concat_tables(
        [
            _table(LOSS, names, rows % stride, loss, weight),
            _table(ACCURACY, names, rows % stride, hits, targets),
        ]
    )


def items_of_answers(prompts: Prompts, values: Mapping[str, Sequence[float | bool | None]]) -> pa.Table:
    """Add up the values of answers by row.

    Args:
        prompts: The prompts that were answered.
        values: Score → [prompts] value of each answer, for scores that are means; None if there is no value.

    Returns:
        `SCORED_ITEMS` of all scores; rows without a value are skipped.
    """
    first = dict.fromkeys(zip(prompts.source, prompts.row, strict=True))
    position = {place: number for number, place in enumerate(first)}
    of_prompt = np.array([position[place] for place in zip(prompts.source, prompts.row, strict=True)], np.int64)
    names, rows = np.array([name for name, _ in first], object), np.array([row for _, row in first], np.int64)
    tables = [SCORED_ITEMS.empty_table()]
    for metric, of_metric in values.items():
        has_value = np.array([value is not None for value in of_metric])
        numbers = np.array([float(value or 0.0) for value in of_metric])
        numerators, counts = (_sums(of_prompt, part, len(rows)) for part in (numbers, has_value.astype(np.float64)))
        tables.append(_table(metric, names, rows, numerators, counts))
    return pa.concat_tables(tables)


def _sums(position: Integers, values: Numbers, num_rows: int) -> Numbers:
    return np.bincount(position, values, num_rows).astype(np.float64)


def _table(
    metric: str, source: npt.NDArray[np.object_], row: Integers, numerator: Numbers, denominator: Numbers
) -> pa.Table:
    counts = denominator > 0
    columns = [[metric] * int(counts.sum()), source[counts], row[counts], numerator[counts], denominator[counts]]
    arrays = [pa.array(part, field.type) for part, field in zip(columns, SCORED_ITEMS, strict=True)]
    return pa.table(arrays, schema=SCORED_ITEMS)


def intervals_of(items: pa.Table, names_of_losses: Mapping[str, str]) -> dict[str, dict[str, float]]:
    """Compute the 95 % bootstrap interval of each score over the choice of held-out rows.

    Args:
        items: Table with the schema `SCORED_ITEMS`.
        names_of_losses: Source → name of its own loss, for sources that have one.

    Returns:
        Score → `low` and `high`, the ends of the interval.
    """
    metric, source = (np.array(items[name].to_pylist(), object) for name in ("metric", "source"))
    numerators, denominators = (items[name].to_numpy() for name in ("numerator", "denominator"))
    chosen = {name: metric == name for name in dict.fromkeys(metric)}
    losses = chosen.get(LOSS, np.zeros(0, bool))
    chosen |= {name: losses & (source == of_source) for of_source, name in names_of_losses.items()}
    found = {name: score_interval(numerators[own], denominators[own]) for name, own in chosen.items() if own.any()}
    return {name: {"low": interval.low, "high": interval.high} for name, interval in found.items()}
