"""Which splits are packed."""

import pytest

from sft_core.packing import PackingConfig, plan_blocks

LENGTHS = [3, 2, 2, 1]
PACKED = [[0, 3], [1, 2]]
UNPACKED = [[0], [1], [2], [3]]


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
    assert [plan_blocks(config, split, LENGTHS, 4) for split in ("train", "eval")] == [train, held_out]


def test_without_packing_a_row_may_be_of_any_length() -> None:
    assert plan_blocks(PackingConfig(), "train", [9, 1], None) == [[0], [1]]


def test_a_row_that_is_longer_than_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="expected rows of 1 to 4 tokens, found 1 to 9"):
        plan_blocks(PackingConfig(packing=True), "train", [9, 1], 4)
