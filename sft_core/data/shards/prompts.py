"""Prompts of held-out rows to generate from, with the reference answers and all columns of the rows.

A row of tokens records the position of its row in the source's records. The columns are read again from there, and only
for held-out rows, so that no stage has to carry them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.data.token_rows import TokenRows
from sft_core.store.ragged import IntArray
from sft_core.store.records import PROMPTS, RECORDS, TOKENS
from sft_core.store.tables import read_columns, write_arrow


def write_prompts(path: Path, rows: TokenRows, held_out: IntArray, records: Sequence[Path]) -> None:
    """Write PROMPTS.

    Args:
        path: The file to write.
        rows: All rows.
        held_out: Positions of the chosen rows, ascending; rows without a prompt are skipped.
        records: [shards] Path of the table of RECORDS that each shard was made from.
    """
    numbers, first = np.unique(rows.shard_of(held_out), return_index=True)
    tables = [
        _prompts_of(rows, number, own - rows.offsets[number], records[number])
        for number, own in zip(numbers.tolist(), np.split(held_out, first)[1:], strict=True)
    ]
    write_arrow(path, pa.concat_tables([PROMPTS.empty_table(), *tables]))


def _prompts_of(rows: TokenRows, number: int, positions: IntArray, records: Path) -> pa.Table:
    names = ["row", "prompt_ids", "reference", "prompt_images"]
    table = read_columns(rows.files[number], TOKENS, names).take(positions)
    in_file = pa.array(rows.row[positions + rows.offsets[number]])
    table = table.append_column("in_file", in_file).filter(table["prompt_ids"].is_valid())
    if not len(table):
        return PROMPTS.empty_table()
    read = read_columns(records, RECORDS, ["row", "record"])
    own = read["record"].take(pc.index_in(table["row"], read["row"].combine_chunks()))
    columns = {
        "source": pa.array([rows.sources[number]] * len(table)),
        "row": table["in_file"],
        "prompt_ids": table["prompt_ids"],
        "reference": table["reference"],
        "metadata": own,
        "images": table["prompt_images"],
    }
    return pa.table(columns).cast(PROMPTS)
