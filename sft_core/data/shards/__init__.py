"""From a plan to what the trainer reads: uncompressed Arrow shards, opened through a memory map.

    block 0   input_ids    [12, 8, 30, 0, 44, 9, 0]
              seq_lengths  [4, 3]                        two rows share the block
              loss_mask    [0, 0, 1, 1, 0, 1, 1]         in the place of the target itself

Packing is global, so a block takes rows from anywhere; the way there is one pass over the token shards, which sorts
their rows by the output file that will hold them, and then one output file after the other:

    tokens.arrow 0, 1, 2, …   ──scatter──▶   bucket of file 0, of file 1, …   ──write──▶   file 0, file 1, …

What always holds: reading a data set back gives the tokens that were read, each as often as planned; memory depends on
`FILE_TOKENS` and on the number of rows, not of tokens; every part of a block leads back to a source and a row
(`<split>-segments.arrow`); equal content has an equal digest.
"""

from sft_core.data.shards.prompts import write_prompts
from sft_core.data.shards.write import WrittenBlocks, write_blocks

__all__ = ["WrittenBlocks", "write_blocks", "write_prompts"]
