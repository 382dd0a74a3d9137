"""Which rows are in the data set, and how often."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.packing import Choice, PackingConfig, choose_rows
from sft_core.data.token_rows import TokenRows
from sft_core.errors import DataError

from .indexed_rows import indexed_rows


def choose(rows: TokenRows, *repeats: float, split: str = "train", **config: Any) -> Choice:
    return choose_rows(PackingConfig(**config), rows, split, repeats or [1.0] * len(rows.sources))


def test_every_row_of_the_split_is_chosen_once_in_order() -> None:
    rows = indexed_rows([7, 8, 9, 6], held_out="tett")
    assert choose(rows).rows.tolist() == [0, 2, 3]
    assert choose(rows, split="eval").rows.tolist() == [1]


def test_duplicates_are_counted_and_kept() -> None:
    chosen = choose(indexed_rows([7, 8, 7, 7]))
    assert (chosen.rows.tolist(), chosen.num_duplicates, chosen.dropped.tolist()) == ([0, 1, 2, 3], 2, [])


def test_the_first_of_equal_rows_stays_if_duplicates_are_dropped() -> None:
    chosen = choose(indexed_rows([7, 8, 7, 9, 8, 7], [2, 4]), drop_duplicates=True)
    assert (chosen.rows.tolist(), chosen.num_rows, chosen.num_duplicates) == ([0, 1, 3], 3, 3)
    assert (chosen.dropped.tolist(), chosen.earlier.tolist()) == ([2, 4, 5], [0, 1, 0])


def test_rows_without_an_id_equal_no_other() -> None:
    chosen = choose(indexed_rows([0, 0, 5, 0, 5]), drop_duplicates=True)
    assert (chosen.rows.tolist(), chosen.num_duplicates) == ([0, 1, 2, 3], 1)


def test_equal_rows_of_two_splits_are_no_duplicates() -> None:
    rows = indexed_rows([7, 7, 7], held_out="tet")
    assert (choose(rows).num_duplicates, choose(rows, split="eval").num_duplicates) == (1, 0)


def test_a_shard_is_repeated_pass_after_pass() -> None:
    chosen = choose(indexed_rows([1, 2, 3, 4], [2, 2]), 3.0, 1.0)
    assert (chosen.rows.tolist(), chosen.num_rows) == ([0, 1, 2, 3, 0, 1, 0, 1], 4)


def test_a_fraction_is_a_share_of_the_rows() -> None:
    rows = indexed_rows(range(1, 10_001))
    once_or_twice, again = choose(rows, 1.5), choose(rows, 1.5)
    assert once_or_twice.rows.tolist() == again.rows.tolist()
    assert sorted(set(once_or_twice.rows.tolist())) == list(range(10_000))
    assert len(once_or_twice.rows) == pytest.approx(15_000, rel=0.02)


def test_less_than_once_leaves_rows_out() -> None:
    chosen = choose(indexed_rows(range(1, 1001), [500, 500]), 0.25, 0.0)
    assert len(chosen.rows) == pytest.approx(125, abs=25)
    assert chosen.rows.max() < 500
    assert sorted([*chosen.rows, *chosen.left_out]) == list(range(1000))


def test_a_row_whose_shard_is_left_out_makes_no_other_a_duplicate() -> None:
    chosen = choose(indexed_rows([7, 7], [1, 1]), 0.0, 1.0, drop_duplicates=True)
    assert (chosen.rows.tolist(), chosen.left_out.tolist(), chosen.num_duplicates) == ([1], [0], 0)


def test_held_out_rows_are_never_repeated() -> None:
    rows = indexed_rows([1, 2], held_out="ee")
    assert choose(rows, 3.0, split="eval").rows.tolist() == choose(rows, 0.0, split="eval").rows.tolist() == [0, 1]


def test_leaving_out_all_rows_is_refused() -> None:
    with pytest.raises(DataError, match=r"no row is left to train on: `repeat` of the sources omits all 2; increase"):
        choose(indexed_rows([1, 2]), 0.0)


def test_a_split_without_rows_is_empty() -> None:
    chosen = choose(indexed_rows([]), split="eval")
    assert (chosen.rows.tolist(), chosen.num_rows, chosen.num_duplicates) == ([], 0, 0)


ids = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@given(ids=ids, cut=st.integers(0, 12), repeat=st.floats(1.0, 3.0), drop=st.booleans())
def test_the_cut_into_shards_does_not_matter(ids: list[int], cut: int, repeat: float, drop: bool) -> None:
    whole, parts = indexed_rows(ids), indexed_rows(ids, [min(cut, len(ids)), len(ids) - min(cut, len(ids))])
    one = choose(whole, repeat, drop_duplicates=drop)
    two = choose(parts, repeat, repeat, drop_duplicates=drop)
    assert np.array_equal(one.rows, two.rows)


@given(ids=ids, repeat=st.floats(0.0, 3.0))
def test_every_row_is_chosen_dropped_or_left_out(ids: list[int], repeat: float) -> None:
    chosen = choose(indexed_rows([*ids, 99], [len(ids), 1]), repeat, 1.0, drop_duplicates=True)
    assert sorted([*chosen.distinct, *chosen.dropped, *chosen.left_out]) == list(range(len(ids) + 1))
    times = np.bincount(chosen.rows, minlength=len(ids) + 1)[chosen.distinct]
    assert set(times[:-1].tolist()) <= {int(repeat), int(repeat) + 1} - {0}
