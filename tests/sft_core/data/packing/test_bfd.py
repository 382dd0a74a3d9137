"""Best fit decreasing, against a search that anybody can check."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.packing.bfd import best_fit_decreasing


def as_lists(lengths: list[int], capacity: int) -> list[list[int]]:
    """The rows of each block."""
    rows, blocks = best_fit_decreasing(lengths, capacity)
    return [rows[blocks == block].tolist() for block in range(len(set(blocks.tolist())))]


def brute_force(lengths: list[int], capacity: int) -> list[list[int]]:
    """Look at every open block for every row; among equally full ones, take the one that has been so for longest."""
    blocks: list[list[int]] = []
    room: list[int] = []
    since: list[int] = []
    for time, row in enumerate(sorted(range(len(lengths)), key=lambda row: -lengths[row])):
        fitting = [block for block in range(len(blocks)) if room[block] >= lengths[row]]
        best = min(fitting, key=lambda block: (room[block], since[block]), default=len(blocks))
        if best == len(blocks):
            blocks.append([])
            room.append(capacity)
            since.append(time)
        blocks[best].append(row)
        room[best] -= lengths[row]
        since[best] = time
    return blocks


@st.composite
def packable(draw: st.DrawFn) -> tuple[list[int], int]:
    capacity = draw(st.integers(1, 40))
    longest = draw(st.integers(1, capacity))  # short rows share blocks by the dozen
    return draw(st.lists(st.integers(1, longest), max_size=60)), capacity


@given(packable())
def test_blocks_are_those_of_a_brute_force_search(case: tuple[list[int], int]) -> None:
    assert as_lists(*case) == brute_force(*case)


def test_many_rows_of_few_lengths_go_where_a_brute_force_search_puts_them() -> None:
    lengths = np.random.default_rng(0).choice([1, 2, 3, 5, 7, 8, 12, 30], 1500).tolist()
    assert as_lists(lengths, 64) == brute_force(lengths, 64)


@given(packable())
def test_every_row_is_in_one_block_and_no_block_is_over_capacity(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    blocks = as_lists(lengths, capacity)
    assert sorted(row for block in blocks for row in block) == list(range(len(lengths)))
    assert all(1 <= sum(lengths[row] for row in block) <= capacity for block in blocks)


@given(packable())
def test_no_two_blocks_could_be_one(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    filled = sorted(sum(lengths[row] for row in block) for block in as_lists(lengths, capacity))
    assert sum(filled[:2]) > capacity or len(filled) < 2


@pytest.mark.parametrize(
    ("lengths", "capacity", "blocks"),
    [
        ([4, 8, 3, 5], 10, [[1], [3, 0], [2]]),  # the example of the docstring
        ([6, 5, 4, 4], 10, [[0, 2], [1, 3]]),  # 4 fits the room of 4 better than that of 5
        ([2, 2, 2, 2, 2], 4, [[0, 1], [2, 3], [4]]),  # equal rows keep their order
        ([3, 3, 1, 1], 4, [[0, 2], [1, 3]]),  # blocks with equal room: first come, first filled
        ([5, 4, 4, 1, 1], 6, [[0, 3], [1, 4], [2]]),
        ([7], 7, [[0]]),
        ([1] * 5, 1, [[0], [1], [2], [3], [4]]),
        ([], 8, []),
    ],
)
def test_rows_go_where_they_fit_best(lengths: list[int], capacity: int, blocks: list[list[int]]) -> None:
    assert as_lists(lengths, capacity) == blocks == brute_force(lengths, capacity)


@pytest.mark.parametrize(("lengths", "found"), [([3, 9], "3 to 9"), ([0, 3], "0 to 3"), ([-1], "-1 to -1")])
def test_rows_that_are_empty_or_longer_than_a_block_are_refused(lengths: list[int], found: str) -> None:
    with pytest.raises(ValueError, match=f"expected rows of 1 to 8 tokens, found {found}"):
        best_fit_decreasing(lengths, 8)


def test_a_capacity_beyond_all_rows_costs_no_memory() -> None:
    rows, blocks = best_fit_decreasing([3, 1, 2], 2**31 - 1)
    assert (rows.tolist(), blocks.tolist()) == ([0, 2, 1], [0, 0, 0])
