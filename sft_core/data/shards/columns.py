"""Columns of a data set; it has columns for weights and images only if some row has them."""

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.data.block_plan import BlockPlan
from sft_core.data.token_rows import TokenRows
from sft_core.errors import RecipeError
from sft_core.store.ragged import IntArray, offsets_of
from sft_core.store.records import IGNORED_LABEL, TOKENS
from sft_core.store.tables import read_columns

IMAGES = pa.field("images", pa.large_string())
"""JSON list of the images of each sequence of a block: `[[{…}, {…}], []]`; null if no sequence has images."""
TargetColumn = Literal["loss_mask", "labels"]


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Columns of one split."""

    target: TargetColumn
    has_weights: bool
    image_bytes: IntArray | None
    """[rows] Number of bytes of the JSON text of each row's images, 0 for a row without images. None if no row has
    images."""
    has_short_ids: bool = False
    """True if ids are written in 16 bits."""

    def narrowed_to(self, max_id: int) -> "Columns":
        """Return the columns with ids of 16 bits if `max_id` fits into them, which halves the bytes of the ids."""
        return replace(self, has_short_ids=max_id < 2**16)

    @property
    def of_tokens(self) -> dict[str, type[np.generic]]:
        """Columns that are read for each token, with their types."""
        weights: dict[str, type[np.generic]] = {"loss_weights": np.float32} if self.has_weights else {}
        return {"input_ids": np.int32, "loss_mask": np.uint8, **weights}

    @property
    def schema(self) -> pa.Schema:
        """Schema of the columns that are written for each block."""
        lists = {
            "input_ids": pa.uint16() if self.has_short_ids else pa.int32(),
            "seq_lengths": pa.int32(),
            self.target: pa.uint8() if self.target == "loss_mask" else pa.int64(),
            **({"loss_weights": pa.float32()} if self.has_weights else {}),
        }
        fields = [pa.field(name, pa.list_(value_type)) for name, value_type in lists.items()]
        return pa.schema(fields if self.image_bytes is None else [*fields, IMAGES])

    def targets(self, ids: npt.NDArray[np.int32], mask: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Return the values of the target column; [tokens]."""
        return mask if self.target == "loss_mask" else np.where(mask == 1, ids, IGNORED_LABEL).astype(np.int64)

    def bytes_per_block(self, plan: BlockPlan) -> IntArray:
        """Return the memory that each block needs, in bytes; [blocks]."""
        token_bytes = sum(np.dtype(dtype).itemsize for dtype in self.of_tokens.values())
        block_bytes = plan.tokens_per_block * token_bytes
        if self.image_bytes is None:
            return block_bytes
        return block_bytes + np.diff(offsets_of(self.image_bytes[plan.row])[plan.block_offsets])


def columns_of(rows: TokenRows, plan: BlockPlan, target: TargetColumn) -> Columns:
    """Find out which columns the rows of a plan need.

    Raises:
        RecipeError: if rows with images would be cut, or would form one sequence with other rows.
    """
    is_used = np.zeros(rows.offsets[-1], np.bool_)
    is_used[plan.row] = True
    is_weighted = np.zeros_like(is_used)
    image_bytes = np.zeros(len(is_used), np.int64)
    for number, file in enumerate(rows.files):
        own = slice(rows.offsets[number], rows.offsets[number + 1])
        if is_used[own].any():
            table = read_columns(file, TOKENS, ["loss_weights", "images"])
            is_weighted[own] = table["loss_weights"].is_valid()
            image_bytes[own] = pc.binary_length(table["images"]).fill_null(0)
    is_shown = is_used & (image_bytes > 0)
    if is_shown.any():
        _refuse_cut_images(rows, plan, is_shown)
    return Columns(target, bool((is_weighted & is_used).any()), image_bytes if is_shown.any() else None)


def _refuse_cut_images(rows: TokenRows, plan: BlockPlan, is_shown: npt.NDArray[np.bool_]) -> None:
    is_cut = plan.is_one_sequence | (plan.tokens < rows.tokens[plan.row])
    refused = plan.row[is_shown[plan.row] & is_cut]
    if len(refused):
        row = int(refused.min())
        raise RecipeError(
            f"packing.packing_strategy: rows with images must not be cut, since half an image shows nothing; found row "
            f"{rows.row[row]} of {rows.source_of(row)}, which `{'wrapped' if plan.is_one_sequence else 'bfd_split'}` "
            "would cut; set `packing_strategy: bfd`, or `packing: false`"
        )
