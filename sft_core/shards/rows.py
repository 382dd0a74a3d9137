"""All token rows of one split, as flat arrays: one gather makes any block of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.records import PROMPTS
from sft_core.tables import read_table

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TokenRows:
    """Rows of one split in the order of their shards.

    `input_ids` and `loss_mask` are flat [tokens]; row `i` is `offsets[i]:offsets[i + 1]`. `source` and `row` say where
    each came from.
    """

    input_ids: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.uint8]
    offsets: IntArray
    source: npt.NDArray[Any]
    shard: IntArray
    row: IntArray
    prompts: pa.Table
    """Of the rows that have one, in order: `PROMPTS`."""

    @property
    def lengths(self) -> IntArray:
        """[rows] tokens of each row."""
        return np.diff(self.offsets)

    @classmethod
    def read(cls, shards: Sequence[tuple[str, Path]], split: str) -> Self:
        """Read one split of some shards.

        Args:
            shards: Source name and `tokens.arrow` of each.
            split: `train` or `eval`.
        """
        table = pa.concat_tables(
            [_rows_of(source, number, path, split) for number, (source, path) in enumerate(shards)]
        )
        offsets = np.concatenate([[0], np.cumsum(pc.list_value_length(table["input_ids"]).to_numpy(), dtype=np.int64)])
        answered = table.filter(pc.is_valid(table["prompt_ids"])).select(PROMPTS.names).cast(PROMPTS)
        return cls(
            input_ids=_flat(table["input_ids"], np.int32),
            loss_mask=_flat(table["loss_mask"], np.uint8),
            offsets=offsets,
            source=table["source"].to_numpy(),
            shard=table["shard"].to_numpy(),
            row=table["row"].to_numpy(),
            prompts=answered,
        )

    def gather(self, rows: Sequence[int]) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """Return the ids and masks of some rows, one after the other, flat."""
        starts, lengths = self.offsets[:-1][list(rows)], self.lengths[list(rows)]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        positions = np.repeat(starts, lengths) + within
        return self.input_ids[positions], self.loss_mask[positions]


def _rows_of(source: str, number: int, path: Path, split: str) -> pa.Table:
    table = read_table(path)
    table = table.filter(pc.equal(table["split"], split))
    table = table.append_column("shard", pa.array([number] * len(table), pa.int64()))
    return table.append_column("source", pa.array([source] * len(table), pa.string()))


def _flat(column: pa.ChunkedArray, dtype: type[Any]) -> npt.NDArray[Any]:
    """The values of a list column; `flatten` honours the offsets of sliced arrays, which `.values` does not."""
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(chunks).astype(dtype, copy=False) if chunks else np.zeros(0, dtype)
