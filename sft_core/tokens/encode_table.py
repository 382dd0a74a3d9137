"""Tokens for every row of a `RENDERED` table, whether it came as text or as token ids."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from sft_core.tokens.arrow_rows import given_tokens, list_lengths, text_rows
from sft_core.tokens.encode import Encoder, EngineUse
from sft_core.tokens.rows import Bools, MaskedRows, Spans, TextRows


@dataclass(frozen=True, slots=True)
class WholeRows:
    """All rows before any cut."""

    rows: MaskedRows
    has_unequal_mask: Bools
    """[rows] whether a row came with more or fewer mask values than ids; it has no tokens here."""
    has_unknown_ids: Bools
    """[rows] whether a row came with an id that the vocabulary has not; it has no tokens here."""
    engine: EngineUse


def encode_table(encoder: Encoder, table: pa.Table, with_literals: bool, threads: int) -> WholeRows:
    """Encode texts, and pass through what came as token ids.

    Args:
        encoder: Of the run's tokenizer.
        table: `RENDERED`, in one chunk.
        with_literals: Whether what spells a special token in the data is plain text.
        threads: How many encode.
    """
    is_given = table["input_ids"].is_valid().to_numpy()
    rows, engine = encoder.encode(text_rows(_only(table, ~is_given), with_literals), threads)
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
    has_unknown_ids = np.diff(np.concatenate([[0], np.cumsum(is_unknown)])[rows.offsets]) > 0
    if has_unknown_ids.any():
        rows = rows.gather(np.arange(len(rows)), lengths=np.where(has_unknown_ids, 0, rows.lengths))
    return WholeRows(rows, has_unequal_mask, has_unknown_ids, engine)


def encode_prompts(
    encoder: Encoder, table: pa.Table, with_literals: bool, threads: int
) -> tuple[dict[int, npt.NDArray[np.int32]], EngineUse]:
    """Encode the prompts of held-out rows with an answer: number of the row → the ids to generate from.

    A literal of the row is one of its prompt as far as both begin alike.
    """
    numbers = np.flatnonzero(table["prompt"].is_valid().to_numpy())
    asked = table.take(numbers)
    prompts = asked["prompt"].to_pylist()
    rows = text_rows(asked, with_literals)
    literals = {
        row: [position for pair in zip(flat[::2], flat[1::2], strict=True) if pair[1] <= shared for position in pair]
        for row, flat in rows.literals.items()
        if (shared := _num_shared(rows.texts[row], prompts[row]))
    }
    texts = TextRows(prompts, Spans.none(), rows.wants_special_tokens, literals)
    encoded, engine = encoder.encode_prompts(texts, threads)
    return dict(zip(numbers.tolist(), np.split(encoded.input_ids, encoded.offsets[1:-1]), strict=False)), engine


def _num_shared(text: str, prompt: str) -> int:
    """Characters that two texts begin with in common."""
    pairs = enumerate(zip(text, prompt, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(text), len(prompt)))


def _only(table: pa.Table, chosen: Bools) -> pa.Table:
    return table if chosen.all() else table.filter(pa.array(chosen))


def _empty_rows(num_rows: int) -> MaskedRows:
    return MaskedRows.of([[]] * num_rows, [[]] * num_rows)
