"""Blocks of one output file. They are brought from the order in which the shards were read into the order of the plan,
one batch at a time."""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.data.block_plan import BlockPlan
from sft_core.data.shards.columns import Columns
from sft_core.data.shards.scatter import FlatColumns
from sft_core.store.ragged import IntArray, offsets_of, positions_of


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Consecutive blocks of an output file, with the values of their pieces one after the other."""

    plan: BlockPlan
    columns: Columns
    values: FlatColumns

    def as_arrow(self) -> pa.RecordBatch:
        """Return the record batch to write."""
        plan, values = self.plan, self.values
        targets = self.columns.targets(values["input_ids"], values["loss_mask"])
        ids = values["input_ids"].astype(np.uint16 if self.columns.has_short_ids else np.int32)
        arrays = {
            "input_ids": _lists(ids, plan.tokens_per_block),
            "seq_lengths": _lists(plan.sequence_tokens.astype(np.int32), plan.sequences_per_block),
            self.columns.target: _lists(targets, plan.tokens_per_block),
        }
        if "loss_weights" in values:
            arrays["loss_weights"] = _lists(values["loss_weights"], plan.tokens_per_block)
        if self.columns.image_bytes is not None:
            arrays["images"] = _lists_of_images(values["images"], self.columns.image_bytes[plan.row], plan)
        return pa.record_batch(arrays, schema=self.columns.schema)


class FileBlocks:
    """All blocks of one file."""

    def __init__(self, plan: BlockPlan, shard_of_piece: IntArray, columns: Columns, values: FlatColumns) -> None:
        """Find out where the values of each piece are in a bucket.

        Args:
            plan: Plan of this file's blocks.
            shard_of_piece: [pieces] Number of the token shard that each piece is from.
            columns: Columns of the data set.
            values: The bucket: values of all pieces, shard after shard, and within a shard in the order of the plan.
        """
        self.plan, self.columns, self.values = plan, columns, values
        read_order = np.argsort(shard_of_piece, kind="stable")
        self._starts = _starts(plan.tokens, read_order)
        if columns.image_bytes is not None:
            self._image_bytes = columns.image_bytes[plan.row]
            self._image_starts = _starts(self._image_bytes, read_order)

    def batch(self, first: int, stop: int) -> Batch:
        """Return the blocks `first` to `stop - 1`."""
        own = slice(*self.plan.block_offsets[[first, stop]])
        positions = positions_of(self._starts[own], self.plan.tokens[own])
        values = {name: self.values[name][positions] for name in self.columns.of_tokens}
        if self.columns.image_bytes is not None:
            values["images"] = self.values["images"][positions_of(self._image_starts[own], self._image_bytes[own])]
        return Batch(self.plan.part(first, stop), self.columns, values)


def _starts(lengths: IntArray, read_order: IntArray) -> IntArray:
    """Return where each piece begins if the pieces are stored in the order in which they were read; [pieces]."""
    starts = np.empty_like(lengths)
    starts[read_order] = offsets_of(lengths[read_order])[:-1]
    return starts


def _lists(values: npt.NDArray[np.generic], lengths: IntArray) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(offsets_of(lengths).astype(np.int32)), pa.array(values))


def _lists_of_images(values: npt.NDArray[np.uint8], lengths: IntArray, plan: BlockPlan) -> pa.Array:
    """Return the image lists of each block's sequences as one JSON list; null if no sequence has images; [blocks].

    Args:
        values: Bytes of the pieces' JSON lists, one after the other.
        lengths: [pieces] Number of bytes of each piece's list; 0 for a piece without images.
        plan: Plan of these blocks, in which every piece is a sequence.
    """
    offsets, content = offsets_of(lengths), values.tobytes()
    lists: list[bytes | None] = [None] * plan.num_blocks
    for block in np.flatnonzero(np.diff(offsets[plan.block_offsets])).tolist():
        edges = offsets[plan.block_offsets[block] : plan.block_offsets[block + 1] + 1].tolist()
        own = (content[start:end] or b"[]" for start, end in itertools.pairwise(edges))
        lists[block] = b"[%s]" % b",".join(own)
    return pa.array(lists, pa.large_binary()).cast(pa.large_string())
