"""From rows and blocks to what the trainer reads: uncompressed Arrow shards, opened through a memory map.

    block 0   input_ids    [12, 8, 30, 0, 44, 9, 0]
              seq_lengths  [4, 3]                        two rows share the block
              loss_mask    [0, 0, 1, 1, 0, 1, 1]         in the place of the target itself

What always holds: reading a data set back gives the blocks that were written; every part of a block leads back to a
source and a row (`<split>-segments.arrow`); equal content has an equal digest.
"""

from sft_core.shards.rows import TokenRows
from sft_core.shards.write import write_blocks, write_prompts

__all__ = ["TokenRows", "write_blocks", "write_prompts"]
