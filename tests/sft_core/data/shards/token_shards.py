"""Shards as the tokenizing stage leaves them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sft_core.data.token_rows import TokenRows
from sft_core.store.records import INDEX, TOKENS
from sft_core.store.tables import write_table

Row = dict[str, Any]


def token_row(ids: Sequence[int], mask: Sequence[int], **fields: Any) -> Row:
    """One row; `fields` are columns of TOKENS."""
    return {"split": "train", "input_ids": list(ids), "loss_mask": list(mask), **fields}


def token_rows(folder: Path, *shards: Sequence[Row]) -> TokenRows:
    """Write shards of rows below `folder` and read their index; rows are numbered from 10 through all shards."""
    numbers = iter(range(10, 1_000_000))
    for number, rows in enumerate(shards):
        numbered = [{"row": next(numbers), "line": None, **row} for row in rows]
        target = folder / f"shard-{number}"
        target.mkdir(parents=True)
        write_table(target / "tokens.arrow", TOKENS, numbered)
        write_table(target / "index.arrow", INDEX, [_entry(row) for row in numbered])
    return TokenRows.read([(f"source-{number}", folder / f"shard-{number}") for number in range(len(shards))])


def _entry(row: Row) -> Row:
    return {**row, "tokens": len(row["input_ids"]), "targets": sum(row["loss_mask"][1:])}
