"""From lengths to blocks: which rows share a block of `max_length` tokens.

What always holds: every row is in exactly one block; no block is over its capacity; the answer depends on the lengths
alone, not on shards, workers or batches.
"""

from sft_core.packing.bfd import best_fit_decreasing
from sft_core.packing.config import PackingConfig
from sft_core.packing.plan import plan_blocks

__all__ = ["PackingConfig", "best_fit_decreasing", "plan_blocks"]
