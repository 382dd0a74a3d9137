"""Rows of two models, found again by name."""

import pyarrow as pa
import pytest

from sft_core.evaluation.paired_rows import pair_rows
from sft_core.store.records import SCORED_ITEMS


def items(*rows: tuple[str, str, int, float, float]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCORED_ITEMS.names, row, strict=True)) for row in rows], SCORED_ITEMS)


FIRST = items(("m", "b", 1, 4.0, 2.0), ("m", "a", 7, 1.0, 1.0), ("m", "a", 8, 9.0, 1.0), ("other", "a", 7, 5.0, 1.0))
SECOND = items(("m", "a", 7, 3.0, 1.0), ("m", "b", 1, 2.0, 2.0), ("m", "c", 1, 9.0, 1.0))


def test_rows_that_both_have_are_paired_by_source_and_number_whatever_their_order() -> None:
    rows = pair_rows(FIRST, SECOND, "m")
    assert rows is not None
    assert [column.tolist() for column in (*rows.first, *rows.second)] == [[1, 4], [1, 2], [3, 2], [1, 2]]
    assert rows.gain(0.95).value == pytest.approx(5 / 3 - 5 / 3)


def test_rows_of_one_name_are_drawn_together() -> None:
    rows = pair_rows(items(("m", "a", 0, 1.0, 1.0), ("m", "a", 0, 2.0, 3.0)), items(("m", "a", 0, 5.0, 4.0)), "m")
    assert rows is not None
    assert [column.tolist() for column in (*rows.first, *rows.second)] == [[3], [4], [5], [4]]


@pytest.mark.parametrize("metric", ["bleu", "other"])
def test_a_metric_that_one_of_them_has_no_rows_for_has_no_pairs(metric: str) -> None:
    assert pair_rows(FIRST, SECOND, metric) is None


def test_without_a_table_there_are_no_pairs() -> None:
    assert pair_rows(None, SECOND, "m") is None
    assert pair_rows(FIRST, None, "m") is None


def test_rows_that_have_nothing_in_common_measure_nothing() -> None:
    rows = pair_rows(items(("m", "a", 0, 1.0, 1.0)), items(("m", "a", 1, 1.0, 1.0)), "m")
    assert rows is not None
    assert len(rows) == 0
    assert not rows.is_measured
