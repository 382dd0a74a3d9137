"""Packing: choose the rows of the data set and how often each is repeated, and assign them to blocks of `max_length`
tokens by their lengths.

    rows        tokens [4, 11, 3, 4], the last equal to the first and dropped; capacity 8
    bfd_split   the row of 11 becomes 8 + 3   →   [8] [4, 3] [3]
    wrapped     all tokens in one row         →   [4 + 4] [7 + 1] [2]

These invariants hold. For every time that a row is chosen, each of its tokens is in exactly one block. No packed block
exceeds its capacity. The result depends only on the index of the rows, not on shards, workers or batches.
"""

from sft_core.data.packing.account import rejections_of_choice, without_left_out
from sft_core.data.packing.choose import Choice, choose_rows
from sft_core.data.packing.config import PackingConfig
from sft_core.data.packing.plan import plan_blocks

__all__ = [
    "Choice",
    "PackingConfig",
    "choose_rows",
    "plan_blocks",
    "rejections_of_choice",
    "without_left_out",
]
