"""Convert the input table to arrays, and arrays to the output tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.data.tokens.rows import Bools, Ints, MaskedRows, Spans, TextRows
from sft_core.store.ragged import offsets_of
from sft_core.store.records import INDEX, TOKENS


def text_rows(table: pa.Table, with_literals: bool, of_images: Sequence[str] = ()) -> TextRows:
    """Read texts and spans of `RENDERED` rows.

    Args:
        table: The rows.
        with_literals: True to encode special tokens spelled out in the data as plain text.
        of_images: The tokens that represent images; spelled out in the data, they are plain text in any case.
    """
    texts = table["text"].to_pylist()
    has_literals = pc.greater(pc.fill_null(pc.list_value_length(table["literals"]), 0), 0)
    marked = np.flatnonzero(has_literals.to_numpy()).tolist() if with_literals or of_images else []
    literals: dict[int, list[int]] = {row: table["literals"][row].as_py() for row in marked}
    if not with_literals:
        literals = {row: own for row, flat in literals.items() if (own := _spelling(texts[row], flat, of_images))}
    return TextRows(
        texts=texts,
        spans=_spans(table),
        wants_special_tokens=table["wants_special_tokens"].to_numpy(),
        literals=literals,
    )


def _spelling(text: str, literals: Sequence[int], tokens: Sequence[str]) -> list[int]:
    """Return the literals whose text is one of some tokens."""
    pairs = zip(literals[::2], literals[1::2], strict=True)
    return [position for start, end in pairs if text[start:end] in tokens for position in (start, end)]


def _spans(table: pa.Table) -> Spans:
    row = np.repeat(np.arange(len(table)), list_lengths(table["spans"]) // 2)
    ends = list_values(table["spans"], np.int64)
    weight = None
    if table["span_weights"].null_count < len(table):
        weight = np.ones(len(row), np.float32)
        weight[table["span_weights"].is_valid().to_numpy()[row]] = list_values(table["span_weights"], np.float32)
    return Spans(row, ends[::2], ends[1::2], weight)


def given_tokens(table: pa.Table) -> MaskedRows:
    """Read the ids and masks of rows that were already tokenized in the source."""
    return MaskedRows(
        list_values(table["input_ids"], np.int32),
        list_values(table["loss_mask"], np.uint8),
        offsets_of(list_lengths(table["input_ids"])),
    )


def list_lengths(column: pa.ChunkedArray) -> Ints:
    """[rows] Return the number of values in each list; 0 for null."""
    lengths: Ints = pc.fill_null(pc.list_value_length(column), 0).to_numpy().astype(np.int64)
    return lengths


def list_values(column: pa.ChunkedArray, dtype: type[Any]) -> npt.NDArray[Any]:
    """Return all values of a list column. `flatten` honours the offsets of sliced arrays and skips null lists."""
    chunks = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate([np.zeros(0, dtype), *chunks]).astype(dtype, copy=False)


def tokens_table(
    table: pa.Table, rows: MaskedRows, prompts: Mapping[int, npt.NDArray[np.int32]], images: pa.Array
) -> pa.Table:
    """Create a `TOKENS` table.

    Args:
        table: The kept `RENDERED` rows.
        rows: Their tokens.
        prompts: Row → ids of the prompt to generate from.
        images: [rows] the images that are left after truncation, a value of the column `images`.
    """
    prompt_ids = [prompts.get(row, _NO_IDS) for row in range(len(rows))]
    is_asked = np.array([row in prompts for row in range(len(rows))], np.bool_)
    columns = {
        "input_ids": _lists(rows.offsets, rows.input_ids),
        "loss_mask": _lists(rows.offsets, rows.loss_mask),
        "loss_weights": _weights(rows),
        "prompt_ids": _lists(
            offsets_of([len(ids) for ids in prompt_ids]),
            np.concatenate([_NO_IDS, *prompt_ids]),
            ~is_asked,
        ),
        "images": images,
        # a prompt is not truncated, so it has all images
        "prompt_images": pc.if_else(pa.array(is_asked), table["images"], None),
    }
    return pa.Table.from_arrays([columns.get(name, _column(table, name)) for name in TOKENS.names], schema=TOKENS)


def index_table(table: pa.Table, columns: Mapping[str, npt.NDArray[Any]]) -> pa.Table:
    """Create an `INDEX` table.

    Args:
        table: The kept rows.
        columns: Column name → one value per row; all other columns are those of `table`.
    """
    arrays = [
        pa.array(columns[field.name], field.type) if field.name in columns else _column(table, field.name)
        for field in INDEX
    ]
    return pa.Table.from_arrays(arrays, schema=INDEX)


_NO_IDS = np.zeros(0, np.int32)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    return table[name] if name in table.column_names else None


def _lists(offsets: Ints, values: npt.NDArray[Any], is_null: Bools | None = None) -> pa.ListArray:
    mask = None if is_null is None else pa.array(is_null)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values), mask=mask)


def _weights(rows: MaskedRows) -> pa.Array:
    """Return the weights of the rows in which a target's weight is not 1; null for all other rows."""
    if rows.weights is None:
        return pa.nulls(len(rows), pa.list_(pa.float32()))
    differs = offsets_of(rows.weights != rows.loss_mask)[rows.offsets]
    return _lists(rows.offsets, rows.weights, np.diff(differs) == 0)
