"""Offsets and positions of rows of different lengths."""

import numpy as np

from sft_core.store.ragged import offsets_of, positions_of


def test_offsets_are_where_rows_begin_and_end() -> None:
    assert offsets_of(np.array([2, 3])).tolist() == [0, 2, 5]
    assert offsets_of([]).tolist() == [0]


def test_offsets_of_booleans_count_those_before() -> None:
    assert offsets_of(np.array([True, False, True])).tolist() == [0, 1, 1, 2]


def test_positions_of_ranges_follow_each_other() -> None:
    assert positions_of(np.array([7, 2, 5]), np.array([2, 3, 0])).tolist() == [7, 8, 2, 3, 4]
    assert positions_of(np.array([], np.int64), np.array([], np.int64)).tolist() == []


def test_one_start_is_that_of_all_ranges() -> None:
    assert positions_of(0, np.array([2, 0, 3])).tolist() == [0, 1, 0, 1, 2]
