"""Writing of block plans as data sets for the trainer: uncompressed Arrow shards, opened through a memory map.

    block 0   input_ids    [12, 8, 30, 0, 44, 9, 0]
              seq_lengths  [4, 3]                        two rows share the block
              loss_mask    [0, 0, 1, 1, 0, 1, 1]         1 at the position of the target itself

Packing is global, so a block can have rows of any token shard. One pass over the token shards sorts their rows by the
output file that will hold them; then one output file after the other is written:

    tokens.arrow 0, 1, 2, …   ──scatter──▶   bucket of file 0, of file 1, …   ──write──▶   file 0, file 1, …

These invariants hold. Reading a data set back gives the tokens that were read, each as often as planned. Memory depends
on `FILE_BYTES` and on the number of rows, not on the number of tokens. Every piece of a block can be traced to a source
and a row (`<split>-segments.arrow`). Data sets with equal content have equal digests.
"""

from sft_core.data.shards.prompts import write_prompts
from sft_core.data.shards.write import WrittenBlocks, write_blocks

__all__ = ["WrittenBlocks", "write_blocks", "write_prompts"]
