"""Convert character spans to token masks: a token is a target if it contains a character of a span.

    text     "2+2=4"        span [4, 5)
    tokens   2 + 2 = 4 <e>
    mask     0 0 0 0 1 1    the end token belongs to a span that reaches the end of the text

A token that begins before a span and ends inside of it is a target, because no other token contains the span's first
characters. So is every token that begins before the span's end, even if one character (an emoji) is several tokens. A
token in two spans has the larger of their weights. A span of weight 0 has no targets.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Encoding

from sft_core.data.tokens.rows import Ints, MaskedRows, Spans
from sft_core.store.ragged import positions_of

TokenRanges = tuple[Ints, Ints]
"""(first, stop): tokens [first, stop) of each span, [spans] each; empty if no token contains a character of the span.
"""


def mark(input_ids: npt.NDArray[np.int32], offsets: Ints, ranges: TokenRanges, spans: Spans) -> MaskedRows:
    """Create rows whose masks mark the tokens of spans; tokens of images are never targets.

    Args:
        input_ids: [tokens] ids of all rows.
        offsets: [rows + 1] start of each row in `input_ids`.
        ranges: Token range of each span, as positions in `input_ids`.
        spans: Weight of each span, and the image that it covers if it does.
    """
    first, stop = ranges
    own = spans.is_learned
    rows = _learn(input_ids, offsets, (first[own], stop[own]), None if spans.weight is None else spans.weight[own])
    if spans.image is None:
        return rows
    images = np.zeros(len(input_ids), np.int32)
    tokens, number = _positions((first[~own], stop[~own]), spans.image[~own])
    images[tokens] = number
    rows.loss_mask[images > 0] = 0
    if rows.weights is not None:
        rows.weights[images > 0] = 0
    return replace(rows, images=images)


def _learn(
    input_ids: npt.NDArray[np.int32], offsets: Ints, ranges: TokenRanges, weight: npt.NDArray[np.float32] | None
) -> MaskedRows:
    first, stop = ranges
    if weight is None:
        depth = np.zeros(len(input_ids) + 1, np.int32)
        np.add.at(depth, first, 1)
        np.add.at(depth, stop, -1)
        return MaskedRows(input_ids, (np.cumsum(depth[:-1]) > 0).astype(np.uint8), offsets)
    weights = np.zeros(len(input_ids), np.float32)
    np.maximum.at(weights, *_positions(ranges, weight))
    return MaskedRows(input_ids, (weights > 0).astype(np.uint8), offsets, weights)


def _positions(ranges: TokenRanges, values: npt.NDArray[Any]) -> tuple[Ints, npt.NDArray[Any]]:
    """Return all tokens of some ranges, and for each the value of its range."""
    first, stop = ranges
    lengths = stop - first
    return positions_of(first, lengths), np.repeat(values, lengths)


def ranges_by_bytes(texts: Sequence[str], text_starts: Ints, token_ends: Ints, spans: Spans) -> TokenRanges:
    """Find the tokens of each span for a tokenizer whose tokens are consecutive pieces of the text's bytes.

    Args:
        texts: [rows] the texts.
        text_starts: [rows] start of each text in the concatenated bytes of all texts.
        token_ends: [tokens] end of each token in the same bytes.
        spans: The spans, in characters of their texts.
    """
    start, end = spans.start.copy(), spans.end.copy()
    for index in np.flatnonzero([not texts[row].isascii() for row in spans.row]):
        text = texts[spans.row[index]]
        start[index] = len(text[: start[index]].encode())
        end[index] = start[index] + len(text[spans.start[index] : end[index]].encode())
    start, end = start + text_starts[spans.row], end + text_starts[spans.row]
    first = np.searchsorted(token_ends, start, side="right")
    stop = np.searchsorted(token_ends, end, side="left") + 1  # 1: the token that reaches the span's end
    return first, np.where(start < end, stop, first)


def ranges_by_offsets(encodings: Sequence[Encoding], offsets: Ints, spans: Spans) -> TokenRanges:
    """Find the tokens of each span from the offsets in the tokenizer's encodings, span by span."""
    found = [
        _token_range(encodings[row], start, end)
        for row, start, end in zip(spans.row.tolist(), spans.start.tolist(), spans.end.tolist(), strict=True)
    ]
    ranges = np.array(found, np.int64).reshape(-1, 2) + offsets[spans.row][:, None]
    return ranges[:, 0], ranges[:, 1]


def _token_range(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    """Return (first, stop) of the tokens that contain a character of [start, end); (0, 0) if no token does."""
    first = next((token for char in range(start, end) if (token := encoding.char_to_token(char)) is not None), None)
    if first is None:
        return 0, 0
    last = next(token for char in range(end - 1, start - 1, -1) if (token := encoding.char_to_token(char)) is not None)
    stop = last + 1  # a character of several tokens (an emoji) is mapped to its first one
    while stop < len(encoding.ids) and (chars := encoding.token_to_chars(stop)) is not None and chars[0] < end:
        stop += 1
    return first, stop
