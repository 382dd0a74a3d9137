"""Sort the tokens of all shards by the output file that they belong to, in one pass.

    file 0 has blocks [a1 b0] [a0]     file 1 has [b1 b2]
    shard a = a0 a1                    bucket 0 gets a1 a0, bucket 1 nothing
    shard b = b0 b1 b2                 bucket 0 gets b0,    bucket 1 gets b1 b2

A bucket is one temporary file per column, without any structure; the plan determines the order of the pieces in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.data.block_plan import BlockPlan
from sft_core.data.shards.columns import Columns
from sft_core.data.token_rows import TokenRows
from sft_core.store.ragged import IntArray, offsets_of, positions_of
from sft_core.store.records import TOKENS
from sft_core.store.tables import read_columns

FlatColumns = dict[str, npt.NDArray[Any]]
"""Column → its values for some pieces, one piece after the other; for `images`, the bytes of the JSON text."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """Temporary files with the pieces of each output file, in the order in which the shards are read."""

    folder: Path

    def append(self, file: int, values: FlatColumns) -> None:
        """Append pieces to the bucket of an output file. The bucket is opened anew each time, because there may be more
        buckets than files that a process may have open."""
        for name, column in values.items():
            with self._path(file, name).open("ab") as bucket:
                column.tofile(bucket)

    def take(self, file: int, columns: Columns) -> FlatColumns:
        """Read a bucket into memory and delete it."""
        types = columns.of_tokens if columns.image_bytes is None else {**columns.of_tokens, "images": np.uint8}
        taken: FlatColumns = {name: np.fromfile(self._path(file, name), dtype) for name, dtype in types.items()}
        for name in types:
            self._path(file, name).unlink()
        return taken

    def _path(self, file: int, column: str) -> Path:
        return self.folder / f"{file}-{column}"


@dataclass(frozen=True, slots=True)
class ReadIds:
    """Sum and maximum of the token ids that were read."""

    sum: int
    """Sum of the ids of all rows of the plan, each row as often as the plan has it."""
    max: int
    """Largest id in the shards that were read."""


def scatter(rows: TokenRows, plan: BlockPlan, piece_edges: IntArray, columns: Columns, buckets: Buckets) -> "ReadIds":
    """Fill the buckets.

    Args:
        rows: All rows.
        plan: Plan of the blocks of all output files.
        piece_edges: [files + 1] Output file `f` has the pieces `piece_edges[f]:piece_edges[f + 1]` of the plan.
        columns: Columns to read.
        buckets: Buckets to append to.

    Returns:
        Sum and maximum of the ids that were read, to compare with what is written.
    """
    times = np.bincount(plan.row[plan.start == 0], minlength=rows.offsets[-1])
    id_sum = max_id = 0
    for number, pieces in _by_shard(rows.shard_of(plan.row)):
        shard = _Shard.read(rows, number, columns)
        id_sum += shard.id_sum(times[shard.first_row :][: len(shard.offsets) - 1])
        max_id = max(max_id, int(shard.of_tokens["input_ids"].max(initial=0)))
        edges = np.searchsorted(pieces, piece_edges)
        for file in np.flatnonzero(np.diff(edges)).tolist():
            buckets.append(file, shard.gather(plan, pieces[edges[file] : edges[file + 1]]))
    return ReadIds(id_sum, max_id)


def _by_shard(shard_of_piece: IntArray) -> Iterator[tuple[int, IntArray]]:
    """Yield the number of each shard that is needed, and its pieces in the order of the plan."""
    order = np.argsort(shard_of_piece, kind="stable")
    numbers, first = np.unique(shard_of_piece[order], return_index=True)
    for number, start, stop in zip(numbers.tolist(), first, [*first[1:], len(order)], strict=True):
        yield number, order[start:stop]


@dataclass(frozen=True, slots=True)
class _Shard:
    first_row: int
    offsets: IntArray
    """[rows + 1] Positions at which its rows begin in the columns of tokens."""
    of_tokens: FlatColumns
    images: pa.ChunkedArray | None

    @classmethod
    def read(cls, rows: TokenRows, number: int, columns: Columns) -> "_Shard":
        """Read the needed columns of a shard."""
        names = [*columns.of_tokens, *(["images"] if columns.image_bytes is not None else [])]
        table = read_columns(rows.files[number], TOKENS, names)
        lengths = pc.list_value_length(table["input_ids"]).to_numpy()
        first, stop = rows.offsets[number], rows.offsets[number + 1]
        assert np.array_equal(lengths, rows.tokens[first:stop]), f"{rows.files[number]}: differs from its index"
        flat = {name: _flat(table[name], dtype, lengths) for name, dtype in columns.of_tokens.items()}
        return cls(int(first), offsets_of(lengths), flat, table["images"] if "images" in names else None)

    def id_sum(self, times: IntArray) -> int:
        """Return the sum of the ids of all rows, each row counted `times` times."""
        return int(np.repeat(times, np.diff(self.offsets)) @ self.of_tokens["input_ids"])

    def gather(self, plan: BlockPlan, pieces: IntArray) -> FlatColumns:
        """Return the values of some pieces, one piece after the other."""
        own_rows = plan.row[pieces] - self.first_row
        positions = positions_of(self.offsets[own_rows] + plan.start[pieces], plan.tokens[pieces])
        values = {name: column[positions] for name, column in self.of_tokens.items()}
        if self.images is None:
            return values
        images = "".join(text or "" for text in self.images.take(own_rows).to_pylist())
        return {**values, "images": np.frombuffer(images.encode(), np.uint8)}


def _flat(column: pa.ChunkedArray, dtype: type[np.generic], lengths: IntArray) -> npt.NDArray[Any]:
    """Return the values of a list column, one row after the other; a null row (of weights) gets 1 for each token.

    `flatten` honours the offsets of sliced arrays, which `.values` does not.
    """
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    values = np.concatenate([np.zeros(0, dtype), *chunks], dtype=dtype)
    if not column.null_count:
        return values
    flat = np.ones(lengths.sum(), dtype)
    flat[np.repeat(column.is_valid().to_numpy(), lengths)] = values
    return flat
