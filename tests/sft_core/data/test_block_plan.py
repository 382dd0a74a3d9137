"""Plans as flat arrays."""

import numpy as np
import pytest

from sft_core.data.block_plan import BlockPlan


@pytest.fixture
def plan() -> BlockPlan:
    """The example of the module."""
    return BlockPlan(*(np.array(column) for column in ([1, 0, 2, 2], [0, 0, 0, 8], [4, 3, 8, 2], [0, 2, 3, 4])))


def test_blocks_know_their_pieces_and_tokens(plan: BlockPlan) -> None:
    assert (plan.num_blocks, plan.pieces_per_block.tolist(), plan.tokens_per_block.tolist()) == (
        3,
        [2, 1, 1],
        [7, 8, 2],
    )


def test_a_part_is_a_plan_of_its_own(plan: BlockPlan) -> None:
    part = plan.part(1, 3)
    assert (part.row.tolist(), part.start.tolist(), part.tokens.tolist()) == ([2, 2], [0, 8], [8, 2])
    assert part.block_offsets.tolist() == [0, 1, 2]


def test_another_order_moves_blocks_with_all_their_pieces(plan: BlockPlan) -> None:
    moved = plan.in_order(np.array([2, 0, 1]))
    assert (moved.row.tolist(), moved.start.tolist(), moved.tokens.tolist()) == (
        [2, 1, 0, 2],
        [8, 0, 0, 0],
        [2, 4, 3, 8],
    )
    assert moved.block_offsets.tolist() == [0, 1, 3, 4]


def test_positions_become_the_rows_of_a_list(plan: BlockPlan) -> None:
    assert plan.of_rows(np.array([10, 20, 30])).row.tolist() == [20, 10, 30, 30]
