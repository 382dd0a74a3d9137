"""Rows that are nothing but an index: no file is behind them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sft_core.data.token_rows import TokenRows
from sft_core.store.ragged import offsets_of


def indexed_rows(
    example_ids: Sequence[int], shards: Sequence[int] = (), held_out: str = "", prompt_ids: Sequence[int] = ()
) -> TokenRows:
    """Make rows of 10, 11, 12, … tokens.

    Args:
        example_ids: [rows] 0 is a missing one.
        shards: Rows of each shard; by default all are in one.
        held_out: A letter a row, `e` where it is held out; by default none is.
        prompt_ids: [rows] by default those of the examples.
    """
    count = len(example_ids)
    shard_rows = shards or [count]
    return TokenRows(
        sources=tuple(f"source-{number}" for number in range(len(shard_rows))),
        files=tuple(Path(f"{number}.arrow") for number in range(len(shard_rows))),
        offsets=offsets_of(np.array(shard_rows)),
        row=np.arange(count),
        is_eval=np.array([letter == "e" for letter in held_out or "t" * count], np.bool_),
        example_id=np.array(example_ids, np.uint64),
        prompt_id=np.array(prompt_ids or example_ids, np.uint64),
        tokens=np.arange(count) + 10,
        targets=np.arange(count) + 5,
        tokens_truncated=np.zeros(count, np.int64),
        ends_with_stop=np.ones(count, np.bool_),
        has_doubled_bos=np.zeros(count, np.bool_),
    )
