"""All token rows of a data set, as recorded in the INDEX stored with each shard; their tokens stay on disk.

    shards     a (rows 0 1 2)   b (rows 0 1)
    offsets    [0, 3, 5]                        so row 4 of the list is the second row of shard b
    tokens     [120, 87, 301, 44, 95]

A row takes about 50 bytes of memory, whatever its length.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.store.parts import Part, parts_of_rows, rows_in_files
from sft_core.store.ragged import IntArray, offsets_of
from sft_core.store.records import INDEX
from sft_core.store.tables import read_table

UNKNOWN_ID = 0
"""Value in place of a missing id; it counts as equal to no other id."""


@dataclass(frozen=True, slots=True, eq=False)
class TokenRows:
    """Rows of both splits in the order of their shards; `row` to `has_doubled_bos` are [rows]."""

    sources: tuple[str, ...]
    """[shards] Name of each shard's source."""
    files: tuple[Path, ...]
    """[shards] Path of each shard's table of TOKENS."""
    offsets: IntArray
    """[shards + 1] Shard `s` has the rows `offsets[s]:offsets[s + 1]`."""
    row: IntArray
    """Number of the row in its file, from 0."""
    is_eval: npt.NDArray[np.bool_]
    example_id: npt.NDArray[np.uint64]
    prompt_id: npt.NDArray[np.uint64]
    tokens: IntArray
    targets: IntArray
    """Number of targets, counted after the shift by one."""
    tokens_truncated: IntArray
    ends_with_stop: npt.NDArray[np.bool_]
    has_doubled_bos: npt.NDArray[np.bool_]
    part_offsets: IntArray | None = None
    """[parts + 1] Same as `offsets`, but a shard that several files share counts as one part per file. None if no shard
    is shared."""

    @classmethod
    def read(cls, shards: Sequence[tuple[str, Path]], parts: Sequence[Sequence[Part]] | None = None) -> Self:
        """Read the indexes of some shards.

        Args:
            shards: Source name of each shard, and the folder with its `tokens.arrow` and `index.arrow`.
            parts: [shards] The parts of each shard; empty for a shard with the rows of only one file.
        """
        parts = parts or [()] * len(shards)
        indices = [read_table(folder / "index.arrow") for _, folder in shards]
        table = pa.concat_tables([INDEX.empty_table(), *indices])
        rows = [index["row"].to_numpy() for index in indices]
        per_part = [
            np.bincount(parts_of_rows(own, row), minlength=len(own) or 1) for own, row in zip(parts, rows, strict=True)
        ]
        return cls(
            sources=tuple(source for source, _ in shards),
            files=tuple(folder / "tokens.arrow" for _, folder in shards),
            offsets=offsets_of(np.array([len(index) for index in indices], np.int64)),
            row=np.concatenate(
                [np.empty(0, np.int64), *(rows_in_files(own, row) for own, row in zip(parts, rows, strict=True))]
            ),
            is_eval=pc.equal(table["split"], "eval").to_numpy(),
            example_id=_ids(table["example_id"]),
            prompt_id=_ids(table["prompt_id"]),
            tokens=table["tokens"].to_numpy().astype(np.int64),
            targets=table["targets"].to_numpy().astype(np.int64),
            tokens_truncated=table["tokens_truncated"].fill_null(0).to_numpy().astype(np.int64),
            ends_with_stop=_booleans(table["ends_with_stop"], absent=True),
            has_doubled_bos=_booleans(table["has_doubled_bos"], absent=False),
            part_offsets=offsets_of(np.concatenate([np.empty(0, np.int64), *per_part])),
        )

    def of_split(self, split: str) -> IntArray:
        """Return the positions of the rows of `train` or `eval`, in order."""
        return np.flatnonzero(self.is_eval == (split == "eval"))

    def shard_of(self, rows: IntArray) -> IntArray:
        """Return the number of the shard of each row; [rows]."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def part_of(self, rows: IntArray) -> IntArray:
        """Return the number of the part of each row, counted over all shards; [rows]."""
        offsets = self.offsets if self.part_offsets is None else self.part_offsets
        return np.searchsorted(offsets, rows, side="right") - 1

    def source_of(self, row: int) -> str:
        """Return the name of one row's source."""
        return self.sources[int(np.searchsorted(self.offsets, row, side="right")) - 1]


def _ids(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    return np.asarray(column.fill_null(UNKNOWN_ID).to_numpy())


def _booleans(column: pa.ChunkedArray, absent: bool) -> npt.NDArray[np.bool_]:
    return np.asarray(column.fill_null(absent).to_numpy())
