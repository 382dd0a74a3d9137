"""Which rows take part: drawn by hash, evenly, and the same for one row or a table."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.selection import (
    NUM_DRAWS,
    are_selected,
    draws,
    hashes_of,
    limit_of_fraction,
    limits_of_rows,
    row_digest,
    select_rows,
)
from sft_core.store.records import RECORDS, Selection

from .one_row import is_selected

HASHES = hashes_of(row_digest(row, b'{"text": "a"}') for row in range(100_000))


@pytest.mark.parametrize(("fraction", "limit"), [(None, 2**64), (1.0, 2**64), (0.5, 2**63), (0.25, 2**62)])
def test_the_limit_of_a_fraction_is_its_share_of_all_draws(fraction: float | None, limit: int) -> None:
    assert limit_of_fraction(fraction) == limit


@pytest.mark.parametrize("fraction", [0.001, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("seed", [0, 42, -1, 2**70])
def test_a_fraction_of_the_rows_is_drawn(fraction: float, seed: int) -> None:
    drawn = are_selected(Selection(seed=seed, below=limit_of_fraction(fraction)), HASHES)
    spread = 4 * (fraction * (1 - fraction) / len(HASHES)) ** 0.5
    assert abs(drawn.mean() - fraction) < spread
    halves = drawn.reshape(2, -1).mean(axis=1)
    assert abs(halves[0] - halves[1]) < 3 * spread, "not more of the first rows than of the last"


def test_seeds_draw_independently() -> None:
    one, other = (are_selected(Selection(seed=seed, below=limit_of_fraction(0.3)), HASHES) for seed in (1, 2))
    assert abs((one & other).mean() - 0.09) < 0.005


def test_a_larger_fraction_keeps_what_a_smaller_one_drew() -> None:
    few, many = (are_selected(Selection(seed=1, below=limit_of_fraction(share)), HASHES) for share in (0.1, 0.2))
    assert (few <= many).all()


def test_draws_differ_where_hashes_do() -> None:
    assert len(np.unique(draws(np.arange(100_000, dtype=np.uint64), 42))) == 100_000


def test_number_and_content_both_decide() -> None:
    digests = {row_digest(1, b"23"), row_digest(12, b"3"), row_digest(1, b"24"), row_digest(2, b"23")}
    assert len(digests) == 4


def test_a_draw_is_the_same_on_every_machine() -> None:
    assert draws(hashes_of([row_digest(7, b'{"text": "a"}')]), 42).tolist() == [GOLDEN]


GOLDEN = 8618082283695297058
"""Another number would be another choice of rows for every recipe there is."""


def test_one_row_and_a_table_of_rows_are_judged_alike() -> None:
    records = [{"row": row, "line": row + 1, "record": f'{{"text": "é {row}"}}'} for row in range(200)]
    table = pa.Table.from_pylist(records, schema=RECORDS)
    selection = Selection(seed=3, below=limit_of_fraction(0.4))
    kept = select_rows(selection, table).to_pylist()
    assert kept == [record for record in records if is_selected(selection, record["row"], record["record"])]
    assert 50 < len(kept) < 110
    assert select_rows(None, table) is table
    assert is_selected(None, 0, "x")


@given(
    shards=st.lists(st.lists(st.integers(0, 20), unique=True, max_size=8), max_size=4),
    max_rows=st.integers(1, 20),
    limit=st.sampled_from([5, 12, 21, NUM_DRAWS]),
)
def test_exactly_so_many_rows_lie_below_the_limits(shards: list[list[int]], max_rows: int, limit: int) -> None:
    drawn = [np.array(shard, np.uint64) for shard in shards]
    limits = limits_of_rows(drawn, max_rows, limit)
    kept = [draw for shard, below in zip(shards, limits, strict=True) for draw in shard if draw < below]
    possible = sorted(draw for shard in shards for draw in shard if draw < limit)
    assert sorted(kept) == possible[:max_rows]


def test_the_largest_draw_can_be_kept() -> None:
    shard = np.array([2**64 - 1, 5], np.uint64)
    assert limits_of_rows([shard], 2, NUM_DRAWS) == [NUM_DRAWS]
    assert limits_of_rows([shard], 1, NUM_DRAWS) == [6]
