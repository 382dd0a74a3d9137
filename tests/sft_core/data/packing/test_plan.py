"""Which parts of which rows lie in which block."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sft_core.data.block_plan import BlockPlan
from sft_core.data.packing import PackingConfig, plan_blocks

LENGTHS = [3, 2, 2, 1]
PACKED = [[0, 3], [1, 2]]
UNPACKED = [[0], [1], [2], [3]]
Piece = tuple[int, int, int]
"""Row, where it begins, tokens."""


def pieces(plan: BlockPlan) -> list[list[Piece]]:
    """The pieces of each block."""
    flat = list(zip(plan.row.tolist(), plan.start.tolist(), plan.tokens.tolist(), strict=True))
    return [flat[start:stop] for start, stop in zip(plan.block_offsets, plan.block_offsets[1:], strict=False)]


def rows(plan: BlockPlan) -> list[list[int]]:
    return [[row for row, _, _ in block] for block in pieces(plan)]


def plan(strategy: str, lengths: list[int], capacity: int, **config: Any) -> BlockPlan:
    return plan_blocks(PackingConfig(packing=True, packing_strategy=strategy, **config), "train", lengths, capacity)


@pytest.mark.parametrize(
    ("packing", "eval_packing", "train", "held_out"),
    [
        (False, None, UNPACKED, UNPACKED),
        (True, None, PACKED, PACKED),
        (True, False, PACKED, UNPACKED),
        (False, True, UNPACKED, PACKED),
        (True, True, PACKED, PACKED),
    ],
)
def test_held_out_rows_are_packed_as_the_others_unless_told_otherwise(
    packing: bool, eval_packing: bool | None, train: list[list[int]], held_out: list[list[int]]
) -> None:
    config = PackingConfig(packing=packing, eval_packing=eval_packing)
    assert [rows(plan_blocks(config, split, LENGTHS, 4)) for split in ("train", "eval")] == [train, held_out]


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
def test_without_packing_a_row_may_be_of_any_length(strategy: Any) -> None:
    unpacked = plan_blocks(PackingConfig(packing_strategy=strategy), "train", [9, 1], None)
    assert pieces(unpacked) == [[(0, 0, 9)], [(1, 0, 1)]]
    assert not unpacked.is_one_sequence


def test_a_row_that_is_longer_than_a_block_is_refused_where_rows_stay_whole() -> None:
    with pytest.raises(ValueError, match="expected rows of 1 to 4 tokens, found 1 to 9"):
        plan("bfd", [9, 1], 4)


def test_a_longer_row_is_split_into_full_parts_and_a_rest() -> None:
    assert pieces(plan("bfd_split", [11, 4, 3], 8)) == [[(0, 0, 8)], [(1, 0, 4), (0, 8, 3)], [(2, 0, 3)]]


def test_wrapped_blocks_are_full_but_for_the_last() -> None:
    wrapped = plan("wrapped", [4, 11, 3], 8)
    assert pieces(wrapped) == [[(0, 0, 4), (1, 0, 4)], [(1, 4, 7), (2, 0, 1)], [(2, 1, 2)]]
    assert (wrapped.sequence_tokens.tolist(), wrapped.sequences_per_block.tolist()) == ([8, 8, 2], [1, 1, 1])


def test_rows_that_end_with_a_block_leave_no_empty_piece() -> None:
    assert pieces(plan("wrapped", [4, 4, 8], 8)) == [[(0, 0, 4), (1, 0, 4)], [(2, 0, 8)]]


@pytest.mark.parametrize("strategy", ["bfd", "bfd_split", "wrapped"])
@pytest.mark.parametrize("packing", [True, False])
def test_no_rows_are_no_blocks(strategy: Any, packing: bool) -> None:
    empty = plan_blocks(PackingConfig(packing=packing, packing_strategy=strategy, shuffle_dataset=True), "train", [], 8)
    assert (empty.num_blocks, len(empty.row)) == (0, 0)


lengths_and_capacity = st.tuples(st.lists(st.integers(1, 30), max_size=40), st.integers(1, 12))


@given(case=lengths_and_capacity, strategy=st.sampled_from(["bfd_split", "wrapped"]), shuffle=st.booleans())
def test_every_token_is_in_exactly_one_block(case: tuple[list[int], int], strategy: str, shuffle: bool) -> None:
    lengths, capacity = case
    blocks = pieces(plan(strategy, lengths, capacity, shuffle_dataset=shuffle))
    tokens = [(row, start + token) for block in blocks for row, start, length in block for token in range(length)]
    assert sorted(tokens) == [(row, token) for row, length in enumerate(lengths) for token in range(length)]
    assert all(sum(length for _, _, length in block) <= capacity for block in blocks)


@given(lengths_and_capacity)
def test_wrapped_is_all_tokens_in_row_order_cut_every_capacity(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    wrapped = plan("wrapped", lengths, capacity)
    blocks = pieces(wrapped)
    tokens = [(row, start + token) for block in blocks for row, start, length in block for token in range(length)]
    assert tokens == [(row, token) for row, length in enumerate(lengths) for token in range(length)]
    assert wrapped.tokens_per_block.tolist()[:-1] == [capacity] * max(len(blocks) - 1, 0)


@given(lengths_and_capacity)
def test_splitting_is_best_fit_over_the_parts(case: tuple[list[int], int]) -> None:
    lengths, capacity = case
    parts = [
        (row, start, min(capacity, length - start))
        for row, length in enumerate(lengths)
        for start in range(0, length, capacity)
    ]
    fitted = rows(plan("bfd", [tokens for _, _, tokens in parts], capacity))
    assert pieces(plan("bfd_split", lengths, capacity)) == [[parts[part] for part in block] for block in fitted]


@pytest.mark.parametrize("packing", [True, False])
def test_a_shuffle_moves_whole_blocks(packing: bool) -> None:
    lengths = np.random.default_rng(0).integers(1, 9, 50).tolist()
    in_order, shuffled, again, other = (
        pieces(plan_blocks(PackingConfig(packing=packing, **config), "train", lengths, 8))
        for config in (
            {},
            {"shuffle_dataset": True},
            {"shuffle_dataset": True},
            {"shuffle_dataset": True, "shuffle_seed": 1},
        )
    )
    assert shuffled == again
    assert sorted(shuffled) == sorted(other) == sorted(in_order)
    assert len({str(order) for order in (in_order, shuffled, other)}) == 3


def test_a_shuffle_of_wrapped_rows_comes_before_the_cut() -> None:
    shuffled = plan("wrapped", [1, 2, 3, 4, 5, 6], 4, shuffle_dataset=True)
    assert shuffled.tokens_per_block.tolist() == [4, 4, 4, 4, 4, 1]
    order = shuffled.row[shuffled.start == 0].tolist()
    assert sorted(order) == [0, 1, 2, 3, 4, 5] != order


def test_held_out_rows_are_not_shuffled() -> None:
    assert rows(plan_blocks(PackingConfig(shuffle_dataset=True), "eval", [1] * 9, 8)) == [[row] for row in range(9)]
