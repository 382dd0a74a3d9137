"""Write a plan as Arrow shards in the layout of `datasets.save_to_disk`, which `datasets.load_from_disk` opens without
a copy."""

import itertools
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from sft_core.data.block_plan import BlockPlan
from sft_core.data.shards.blocks import FileBlocks
from sft_core.data.shards.columns import TargetColumn, columns_of
from sft_core.data.shards.count import BlockCounts
from sft_core.data.shards.scatter import Buckets, scatter
from sft_core.data.token_rows import UNKNOWN_ID, TokenRows
from sft_core.store.ragged import IntArray
from sft_core.store.records import SEGMENTS
from sft_core.store.tables import write_arrow

FILE_BYTES = 2**26
"""Bytes of ids, mask, weights and images in one file, all in memory while it is written: 13 M tokens of 5 bytes."""
BATCH_BYTES = 2**22
"""Bytes of the same columns in one record batch; building it takes some five times as much memory."""


@dataclass(frozen=True, slots=True)
class WrittenBlocks:
    """Counts and digest of a written split, for the facts of the artifact."""

    tokens: int
    targets: int
    """Number of tokens in the loss: those whose mask is 1, except the first token of each sequence."""
    targets_lost_to_splitting: int
    """Number of tokens that are not targets only because their row was cut right before them."""
    digest: str
    """Digest of ids, sequence lengths, masks, weights and images in order. Equal data sets have equal digests, whatever
    they were made from and whichever column marks the targets."""


def write_blocks(
    folder: Path, split: str, rows: TokenRows, plan: BlockPlan, target_column: TargetColumn
) -> WrittenBlocks:
    """Write one split.

    Args:
        folder: Folder to write to. It gets `<split>/` with the data set, and `<split>-segments.arrow` with the row of
            each piece of each block.
        split: `train` or `eval`.
        rows: All rows.
        plan: Plan of the blocks, whose `row` is a position in `rows`; at least one block.
        target_column: Column that marks the targets.

    Raises:
        RecipeError: if rows with images would be cut, or would form one sequence with other rows.
    """
    columns = columns_of(rows, plan, target_column)
    target = folder / split
    target.mkdir(parents=True)
    block_edges = _edges(columns.bytes_per_block(plan), FILE_BYTES)
    names = [f"data-{number:05d}-of-{len(block_edges) - 1:05d}.arrow" for number in range(len(block_edges) - 1)]
    counts = BlockCounts()
    with tempfile.TemporaryDirectory(prefix=".buckets-", dir=folder) as scratch:
        buckets = Buckets(Path(scratch))
        read = scatter(rows, plan, plan.block_offsets[block_edges], columns, buckets)
        columns = columns.narrowed_to(read.max)
        for number, name in enumerate(names):
            part = plan.part(*block_edges[number : number + 2])
            blocks = FileBlocks(part, rows.shard_of(part.row), columns, buckets.take(number, columns))
            _write_file(target / name, blocks, counts)
    assert counts.tokens == plan.tokens.sum(), "shards: more or fewer tokens were written than planned"
    assert counts.id_sum == read.sum, "shards: the tokens written are not the tokens read"
    _describe(target, split, names, columns.schema, fingerprint=counts.digest)
    write_segments(folder / f"{split}-segments.arrow", rows, plan)
    return WrittenBlocks(counts.tokens, counts.targets, counts.targets_lost_to_splitting, counts.digest)


def _write_file(path: Path, blocks: FileBlocks, counts: BlockCounts) -> None:
    schema = blocks.columns.schema
    edges = _edges(blocks.columns.bytes_per_block(blocks.plan), BATCH_BYTES)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for first, stop in itertools.pairwise(edges.tolist()):
            batch = blocks.batch(first, stop)
            counts.add(batch)
            writer.write_batch(batch.as_arrow())


def _edges(costs: IntArray, limit: int) -> IntArray:
    """Cut blocks into groups that cost about `limit` each; return the positions of the borders, [groups + 1]."""
    groups = (np.cumsum(costs) - 1) // limit
    return np.concatenate([[0], np.flatnonzero(np.diff(groups)) + 1, [len(costs)]])


def _describe(folder: Path, split: str, names: list[str], schema: pa.Schema, fingerprint: str) -> None:
    """Write the two small files that make the folder a saved data set of `datasets`."""
    from datasets import DatasetInfo, Features

    DatasetInfo(features=Features.from_arrow_schema(schema)).write_to_directory(str(folder))
    state: dict[str, Any] = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": fingerprint[:16],
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": split,
    }
    (folder / "state.json").write_bytes(orjson.dumps(state, option=orjson.OPT_INDENT_2))


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
