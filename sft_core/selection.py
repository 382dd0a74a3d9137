"""Which rows of a source take part, where the recipe asks for a share of them."""

import hashlib

from sft_core.records import Selection


def is_selected(selection: Selection, row: int, record: str) -> bool:
    """Whether a row's hash, drawn with the seed, lies below the limit.

    Args:
        selection: Seed and limit.
        row: Position in the source, from 0; equal rows at different positions are drawn separately.
        record: The row as ingest wrote it.
    """
    content = b"%d %d %s" % (selection.seed, row, record.encode())
    return int.from_bytes(hashlib.blake2b(content).digest()[:8], "big") < selection.below
