"""The prompts of held-out rows, to generate from, with the answers to compare with."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from sft_core.block_plan import IntArray
from sft_core.records import PROMPTS, TOKENS
from sft_core.tables import read_columns, write_arrow
from sft_core.token_rows import TokenRows


def write_prompts(path: Path, rows: TokenRows, held_out: IntArray) -> None:
    """Write PROMPTS.

    Args:
        path: The file.
        rows: All rows.
        held_out: The chosen ones, ascending; those without a prompt are left out.
    """
    numbers, first = np.unique(rows.shard_of(held_out), return_index=True)
    tables = [
        _prompts_of(rows, number, own - rows.offsets[number])
        for number, own in zip(numbers.tolist(), np.split(held_out, first)[1:], strict=True)
    ]
    write_arrow(path, pa.concat_tables([PROMPTS.empty_table(), *tables]))


def _prompts_of(rows: TokenRows, number: int, positions: IntArray) -> pa.Table:
    table = read_columns(rows.files[number], TOKENS, ["row", "prompt_ids", "reference"]).take(positions)
    table = table.filter(table["prompt_ids"].is_valid())
    return table.add_column(0, "source", pa.array([rows.sources[number]] * len(table))).cast(PROMPTS)
