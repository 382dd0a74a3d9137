"""Segments: the map from a block back to the rows in it."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from sft_core.data.block_plan import BlockPlan
from sft_core.data.token_rows import UNKNOWN_ID, TokenRows
from sft_core.store.records import SEGMENTS
from sft_core.store.tables import write_arrow


def write_segments(path: Path, rows: TokenRows, plan: BlockPlan) -> None:
    """Write the table of SEGMENTS: one line per piece, in the order of the plan."""
    example_id = rows.example_id[plan.row]
    columns = {
        "block": np.repeat(np.arange(plan.num_blocks), plan.pieces_per_block),
        "shard": rows.part_of(plan.row),
        "row": rows.row[plan.row],
        "example_id": pa.array(example_id, mask=example_id == UNKNOWN_ID),
        "start": plan.start,
        "tokens": plan.tokens,
    }
    write_arrow(path, pa.table([pa.array(columns[field.name]).cast(field.type) for field in SEGMENTS], SEGMENTS))
