"""Write blocks as Arrow shards in the layout of `datasets.save_to_disk`, which `datasets.load_from_disk` opens without
a copy."""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from sft_core.fingerprint import KEY_HEX_DIGITS
from sft_core.records import IGNORED_LABEL, SEGMENTS
from sft_core.shards.rows import TokenRows
from sft_core.tables import write_arrow

TargetColumn = Literal["loss_mask", "labels"]
WRITE_BLOCKS = 1024
"""Blocks in one record batch."""
SHARD_TOKENS = 50_000_000
"""Tokens in one file: about 250 MB."""


def write_blocks(
    folder: Path, split: str, rows: TokenRows, blocks: Sequence[Sequence[int]], target_column: TargetColumn
) -> str:
    """Write one split.

    Args:
        folder: Gets `<split>/` with the data set, and `<split>-segments.arrow` with the row behind each part of each
            block.
        split: `train` or `eval`.
        rows: The rows.
        blocks: [blocks] indices into the rows.
        target_column: How targets are written.

    Returns:
        The digest of ids, row lengths and masks in order: equal data sets have equal digests, wherever they came from.
    """
    target = folder / split
    target.mkdir(parents=True)
    schema = _schema(target_column)
    hasher = hashlib.blake2b(digest_size=KEY_HEX_DIGITS // 2)
    shards = list(_cut_by_tokens(blocks, rows))
    names = [f"data-{number:05d}-of-{len(shards):05d}.arrow" for number in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        with pa.OSFile(str(target / name), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            for start in range(0, len(shard), WRITE_BLOCKS):
                writer.write_batch(_batch(rows, shard[start : start + WRITE_BLOCKS], schema, hasher))
    _describe(target, split, names, schema, fingerprint=hasher.hexdigest())
    _write_segments(folder / f"{split}-segments.arrow", rows, blocks)
    return hasher.hexdigest()


def _schema(target_column: TargetColumn) -> pa.Schema:
    target_type = pa.uint8() if target_column == "loss_mask" else pa.int64()
    lists = {"input_ids": pa.int32(), "seq_lengths": pa.int32(), target_column: target_type}
    return pa.schema([pa.field(name, pa.list_(value_type)) for name, value_type in lists.items()])


def _cut_by_tokens(blocks: Sequence[Sequence[int]], rows: TokenRows) -> Iterator[Sequence[Sequence[int]]]:
    tokens = np.cumsum([int(rows.lengths[list(block)].sum()) for block in blocks])
    numbers = (tokens - 1) // SHARD_TOKENS
    edges = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(blocks)]
    yield from (blocks[start:stop] for start, stop in itertools.pairwise(edges))


def _batch(
    rows: TokenRows, blocks: Sequence[Sequence[int]], schema: pa.Schema, hasher: "hashlib.blake2b"
) -> pa.RecordBatch:
    flat = [row for block in blocks for row in block]
    ids, mask = rows.gather(flat)
    seq_lengths = rows.lengths[flat].astype(np.int32)
    rows_per_block = np.array([len(block) for block in blocks])
    tokens_per_block = np.add.reduceat(seq_lengths, np.concatenate([[0], np.cumsum(rows_per_block)[:-1]]))
    for part in (ids, seq_lengths, rows_per_block.astype(np.int32), mask):
        hasher.update(np.ascontiguousarray(part).data)
    target = mask if "loss_mask" in schema.names else np.where(mask == 1, ids, IGNORED_LABEL).astype(np.int64)
    columns = [_lists(ids, tokens_per_block), _lists(seq_lengths, rows_per_block), _lists(target, tokens_per_block)]
    return pa.record_batch(columns, schema=schema)


def _lists(values: npt.NDArray[np.generic], lengths: npt.NDArray[np.int_]) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))


def _describe(folder: Path, split: str, names: list[str], schema: pa.Schema, fingerprint: str) -> None:
    """Write the two small files that make a folder a data set."""
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


def _write_segments(path: Path, rows: TokenRows, blocks: Sequence[Sequence[int]]) -> None:
    flat = [row for block in blocks for row in block]
    block_numbers = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    columns = {
        "block": block_numbers,
        "shard": rows.shard[flat],
        "row": rows.row[flat],
        "example_id": np.zeros(len(flat), np.uint64),
        "start": np.zeros(len(flat), np.int32),
        "tokens": rows.lengths[flat],
    }
    table = pa.table([pa.array(columns[field.name]).cast(field.type) for field in SEGMENTS], schema=SEGMENTS)
    write_arrow(path, table)


def write_prompts(path: Path, rows: TokenRows) -> None:
    """Write the prompts of held-out rows with their answers (`PROMPTS`)."""
    write_arrow(path, rows.prompts)
