"""Names of scores, and the values of single documents for scores that are means.

    lm-eval                          here
    arc_easy, acc_norm,none          lm_eval/arc_easy/acc_norm
    gsm8k, exact_match,strict-match  lm_eval/gsm8k/exact_match/strict-match
    mmlu (a group), acc,none         lm_eval/mmlu/acc

A score of a task is a mean if lm-eval aggregates it with its `mean`. A score of a group is a mean if it equals the mean
over all documents of its tasks, as with `weight_by_size`. All other scores (perplexities, corpus BLEU, F1 over all
answers, a mean of means) have no items, and so no interval.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from sft_core.store.records import SCORED_ITEMS

PREFIX = "lm_eval"
ROUNDING = 1e-9
"""Relative and absolute tolerance between two ways of adding up the same numbers."""

Items = list[tuple[str, int, float]]
"""Triples of source, document and value."""


def score_names(task: str, results: Mapping[str, Any]) -> dict[str, str]:
    """Name the scores of a task or group.

    Args:
        task: Name of the task or group.
        results: Results of lm-eval: `metric,filter` → number, and entries that are not scores.

    Returns:
        `metric,filter` → name of the score.
    """
    keys = [key for key in results if "," in key and not key.partition(",")[0].endswith("_stderr")]
    return {key: score_name(task, *key.split(",", 1)) for key in keys}


def score_name(task: str, metric: str, filter_name: str) -> str:
    """Name one score, in characters that MLflow allows."""
    parts = [PREFIX, task, metric, *([] if filter_name == "none" else [filter_name])]
    return "/".join(re.sub(r"[^\w.\-: ]", "_", part, flags=re.ASCII) for part in parts)


def items_of_tasks(
    tasks: Mapping[str, Any],
    groups: Mapping[str, Any],
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
    scores: Mapping[str, float],
    sources: Mapping[str, str],
) -> list[pa.Table]:
    """Make tables with the value of each document.

    Args:
        tasks: Name → task of lm-eval.
        groups: Name → group of lm-eval.
        samples: Task → records of lm-eval, one per document and filter.
        scores: All scores by name.
        sources: Task → source of its documents in `SCORED_ITEMS`, from `LocatedTasks.sources`.

    Returns:
        `SCORED_ITEMS` of each score that is a mean.
    """
    of_tasks = {name: _items_of_task(task, samples[name], sources[name]) for name, task in tasks.items()}
    found = [
        _table(score, items)
        for name, of_task in of_tasks.items()
        for key, items in of_task.items()
        if (score := score_name(name, *key)) in scores
    ]
    for name, group in groups.items():
        members = [of_tasks[task.task_name] for task in group.get_all_tasks()]
        for key in dict.fromkeys(key for member in members for key in member):
            score = score_name(name, *key)
            items = [item for member in members for item in member.get(key, [])]
            if score in scores and _is_mean(scores[score], items):
                found.append(_table(score, items))
    return found


def _items_of_task(task: Any, samples: Sequence[Mapping[str, Any]], source: str) -> dict[tuple[str, str], Items]:
    """Return (metric, filter) → items, for metrics that are means."""
    from lm_eval.api.metrics import mean

    found: dict[tuple[str, str], Items] = {}
    aggregations = task.aggregation()
    for sample in samples:
        for metric in sample["metrics"]:
            if aggregations.get(metric, mean) is mean:
                key = (metric, sample["filter"])
                found.setdefault(key, []).append((source, int(sample["doc_id"]), float(sample[metric])))
    return found


def _is_mean(score: float, items: Items) -> bool:
    mean = sum(value for _, _, value in items) / len(items)
    return math.isclose(score, mean, rel_tol=ROUNDING, abs_tol=ROUNDING)


def _table(metric: str, items: Iterable[tuple[str, int, float]]) -> pa.Table:
    rows = [
        {"metric": metric, "source": source, "row": document, "numerator": value, "denominator": 1.0}
        for source, document, value in items
    ]
    return pa.Table.from_pylist(rows, schema=SCORED_ITEMS)
