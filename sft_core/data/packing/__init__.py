"""From lengths to blocks: which rows are in the data set, how often, and which share a block of `max_length` tokens.

    rows        tokens [4, 11, 3, 4], the last equal to the first and dropped; capacity 8
    bfd_split   the row of 11 becomes 8 + 3   →   [8] [4, 3] [3]
    wrapped     all tokens in one row         →   [4 + 4] [7 + 1] [2]

What always holds: every token of every chosen row is in exactly one block, as often as the row was chosen; no packed
block is over its capacity; the answer depends on the index of the rows alone, not on shards, workers or batches.
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
