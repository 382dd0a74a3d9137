"""Encode every row of a `RENDERED` table, whether it is text or was already tokenized in the source."""

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.data.tokens.arrow_rows import given_tokens, list_lengths, text_rows
from sft_core.data.tokens.encode import Encoder, EngineUse
from sft_core.data.tokens.images import ShownImages, count_image_tokens
from sft_core.data.tokens.rows import Bools, Ints, MaskedRows, Spans, TextRows
from sft_core.pretrained.processor import ImageTokens
from sft_core.store.ragged import offsets_of


@dataclass(frozen=True, slots=True)
class WholeRows:
    """All rows before truncation."""

    rows: MaskedRows
    has_unequal_mask: Bools
    """[rows] True if a tokenized row had more or fewer mask values than ids; `rows` has no tokens of it."""
    has_unknown_ids: Bools
    """[rows] True if a tokenized row had an id that is not in the vocabulary; `rows` has no tokens of it."""
    has_refused_images: Bools
    """[rows] True if the processor refuses the row's images."""
    has_other_images: Bools
    """[rows] True if a row has more or fewer image tokens than its images take."""
    engine: EngineUse


def encode_table(
    encoder: Encoder, table: pa.Table, with_literals: bool, threads: int, image_tokens: ImageTokens | None = None
) -> WholeRows:
    """Encode texts, and pass through rows that are already tokenized.

    Args:
        encoder: Encoder of the run's tokenizer.
        table: `RENDERED` rows, in one chunk.
        with_literals: True to encode special tokens spelled out in the data as plain text.
        threads: Number of encoding threads.
        image_tokens: Tokens that represent images; None if the run has no images.
    """
    is_given = table["input_ids"].is_valid().to_numpy()
    texts, of_texts = _shown_texts(_only(table, ~is_given), with_literals, image_tokens)
    rows, engine = encoder.encode(texts, threads)
    expected = np.zeros(len(table), np.int64)
    expected[~is_given] = of_texts
    has_unequal_mask = is_given & (list_lengths(table["input_ids"]) != list_lengths(table["loss_mask"]))
    if is_given.any():
        is_whole = is_given & ~has_unequal_mask
        parts = [
            (np.flatnonzero(~is_given), rows),
            (np.flatnonzero(is_whole), given_tokens(_only(table, is_whole))),
            (np.flatnonzero(has_unequal_mask), _empty_rows(int(has_unequal_mask.sum()))),
        ]
        rows = MaskedRows.interleaved(parts)
    is_unknown = (rows.input_ids < 0) | (rows.input_ids >= encoder.vocabulary_size)
    has_unknown_ids = np.diff(offsets_of(is_unknown)[rows.offsets]) > 0
    if has_unknown_ids.any():
        rows = rows.gather(np.arange(len(rows)), lengths=np.where(has_unknown_ids, 0, rows.lengths))
    is_refused = expected < 0
    found = count_image_tokens(rows, image_tokens.ids) if image_tokens else expected
    return WholeRows(rows, has_unequal_mask, has_unknown_ids, is_refused, found != expected, engine)


def encode_prompts(
    encoder: Encoder, table: pa.Table, with_literals: bool, threads: int, image_tokens: ImageTokens | None = None
) -> tuple[dict[int, npt.NDArray[np.int32]], EngineUse]:
    """Encode the prompts of held-out rows that have a reference answer.

    A literal of the row is also a literal of its prompt if it is within their common prefix.

    Returns:
        Row → the ids to generate from, and the engine that encoded them. A prompt that lacks images of its row has no
        entry.
    """
    numbers = np.flatnonzero(table["prompt"].is_valid().to_numpy())
    asked = table.take(numbers)
    prompts = asked["prompt"].to_pylist()
    rows = text_rows(asked, with_literals, image_tokens.spellings if image_tokens else ())
    literals = {
        row: [position for pair in zip(flat[::2], flat[1::2], strict=True) if pair[1] <= shared for position in pair]
        for row, flat in rows.literals.items()
        if (shared := len(os.path.commonprefix((rows.texts[row], prompts[row]))))  # noqa: RUF071  # of characters
    }
    texts = TextRows(prompts, Spans.none(), rows.wants_special_tokens, literals)
    expected = np.zeros(len(prompts), np.int64)
    if image_tokens:
        texts, expected = ShownImages.of(image_tokens, asked["images"]).expand(texts)
    encoded, engine = encoder.encode(texts, threads, is_open=True)
    found = count_image_tokens(encoded, image_tokens.ids) if image_tokens else expected
    ids = zip(numbers.tolist(), np.split(encoded.input_ids, encoded.offsets[1:-1]), found == expected, strict=False)
    return {row: own for row, own, is_whole in ids if is_whole}, engine


def _shown_texts(table: pa.Table, with_literals: bool, image_tokens: ImageTokens | None) -> tuple[TextRows, Ints]:
    """Return texts with expanded images, and [rows] the number of image tokens that each should have."""
    if image_tokens is None:
        return text_rows(table, with_literals), np.zeros(len(table), np.int64)
    rows = text_rows(table, with_literals, image_tokens.spellings)
    return ShownImages.of(image_tokens, table["images"]).expand(rows)


def _only(table: pa.Table, chosen: Bools) -> pa.Table:
    return table if chosen.all() else table.filter(pa.array(chosen))


def _empty_rows(num_rows: int) -> MaskedRows:
    return MaskedRows.of([[]] * num_rows, [[]] * num_rows)
