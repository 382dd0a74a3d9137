"""Rows of tokens as flat arrays, and the rows of text that they come from.

    input_ids   [19 12 19 30 21 0 | 26 0]        two rows, one after the other
    loss_mask   [ 0  0  0  0  1 1 |  1 1]
    offsets     [0, 6, 8]

Every operation on rows (keeping some, truncating some, combining two parts of a shard) is one gather: a row, the first
of its tokens to take, and the number of tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sft_core.store.ragged import IntArray, offsets_of, positions_of

Ints = IntArray
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of all rows in flat arrays [spans]: row, characters [start, end), and weight.

    Spans are ordered by row, and by position within a row.
    """

    row: Ints
    start: Ints
    end: Ints
    weight: npt.NDArray[np.float32] | None = None
    """Weight of each span in the loss; None if every weight is 1."""
    image: Ints | None = None
    """Number of the row's image that a span covers, from 1 on; 0 for a span of targets. None if no span is an image."""

    @property
    def is_learned(self) -> Bools:
        """[spans] True for spans of targets, False for images."""
        return np.ones(len(self.row), np.bool_) if self.image is None else self.image == 0

    @classmethod
    def of(cls, spans: Sequence[Sequence[int]], weights: Sequence[Sequence[float] | None] | None = None) -> Self:
        """Create spans from lists.

        Args:
            spans: [rows] [start, end) pairs of each row, flat.
            weights: [rows] weights of each row's spans, or None if all are 1; by default all weights are 1.
        """
        counts = [len(flat) // 2 for flat in spans]
        ends = np.array([position for flat in spans for position in flat], np.int64)
        values = None
        if weights is not None and any(row is not None for row in weights):
            pairs = zip(counts, weights, strict=True)
            values = np.array([w for count, row in pairs for w in (row or [1.0] * count)], np.float32)
        return cls(np.repeat(np.arange(len(counts)), counts), ends[::2], ends[1::2], values)

    @classmethod
    def none(cls) -> Self:
        """Return an empty list of spans."""
        return cls(*np.zeros((3, 0), np.int64))

    def where(self, chosen: Bools) -> "Spans":
        """Return the spans for which `chosen` [spans] is True."""
        weight = None if self.weight is None else self.weight[chosen]
        image = None if self.image is None else self.image[chosen]
        return Spans(self.row[chosen], self.start[chosen], self.end[chosen], weight, image)

    def of_rows(self, rows: Ints) -> "Spans":
        """Return the spans of some rows, given in ascending order; the result numbers these rows from 0."""
        found = np.minimum(np.searchsorted(rows, self.row), max(len(rows) - 1, 0))
        chosen = rows[found] == self.row if len(rows) else np.zeros(len(self.row), np.bool_)
        kept = self.where(chosen)
        return Spans(found[chosen], kept.start, kept.end, kept.weight, kept.image)


@dataclass(frozen=True, slots=True)
class TextRows:
    """Texts, with the spans of each that the loss covers."""

    texts: Sequence[str]
    """[rows] texts."""
    spans: Spans
    wants_special_tokens: Bools
    """[rows] True for plain text, which gets the tokenizer's special tokens and one end token; False for text rendered
    by a chat template, which has them already."""
    literals: Mapping[int, Sequence[int]]
    """Row → [start, end) pairs in characters, flat, of spelled-out special tokens that are encoded as plain text."""

    @classmethod
    def of(
        cls,
        texts: Sequence[str],
        spans: Sequence[Sequence[int]],
        wants_special_tokens: bool | Sequence[bool],
        *,
        weights: Sequence[Sequence[float] | None] | None = None,
        literals: Mapping[int, Sequence[int]] | None = None,
    ) -> Self:
        """Create rows from Python lists; see the fields of `TextRows` and `Spans.of`."""
        wants = np.broadcast_to(np.asarray(wants_special_tokens, np.bool_), len(texts))
        return cls(texts, Spans.of(spans, weights), wants, literals or {})


@dataclass(frozen=True, slots=True)
class MaskedTokens:
    """One row: token ids [tokens], and for each 1 if it is a target of the loss, otherwise 0."""

    input_ids: list[int]
    loss_mask: list[int]


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """Token ids and masks of all rows, flat [tokens]; row `i` is `offsets[i]:offsets[i + 1]`."""

    input_ids: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.uint8]
    offsets: Ints
    weights: npt.NDArray[np.float32] | None = None
    """Weight of each token in the loss, 0 for tokens that are not targets; None if every target has weight 1."""
    images: npt.NDArray[np.int32] | None = None
    """Number of the row's image that a token belongs to, from 1 on; 0 for text. None if no row has images."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[MaskedTokens]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> MaskedTokens:
        tokens = slice(self.offsets[row], self.offsets[row + 1])
        return MaskedTokens(self.input_ids[tokens].tolist(), self.loss_mask[tokens].tolist())

    @classmethod
    def of(cls, ids: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> Self:
        """Create rows from one list of ids and one list of mask values per row."""
        return cls(flat(ids, np.int32), flat(masks, np.uint8), offsets_of([len(row) for row in ids]))

    @property
    def lengths(self) -> Ints:
        """[rows] number of tokens."""
        return np.diff(self.offsets)

    @property
    def num_targets(self) -> Ints:
        """[rows] number of targets after the shift by one: the first token of a row is never predicted."""
        before = offsets_of(self.loss_mask)
        targets: Ints = before[self.offsets[1:]] - before[np.minimum(self.offsets[:-1] + 1, self.offsets[1:])]
        return targets

    def gather(self, rows: Ints, starts: Ints | int = 0, lengths: Ints | None = None) -> "MaskedRows":
        """Take `lengths[i]` tokens of row `rows[i]`, beginning at its token `starts[i]`; by default whole rows."""
        lengths = self.lengths[rows] if lengths is None else lengths
        tokens = positions_of(self.offsets[:-1][rows] + starts, lengths)
        weights = None if self.weights is None else self.weights[tokens]
        images = None if self.images is None else self.images[tokens]
        return MaskedRows(self.input_ids[tokens], self.loss_mask[tokens], offsets_of(lengths), weights, images)

    def last(self, marked: Bools) -> Ints:
        """[rows] Return the position in the flat arrays of each row's last marked token; -1 if it has none."""
        positions = np.concatenate([[-1], np.flatnonzero(marked)])
        found = positions[np.searchsorted(positions, self.offsets[1:]) - 1]
        last: Ints = np.where(found >= self.offsets[:-1], found, -1)
        return last

    @classmethod
    def interleaved(cls, parts: Sequence[tuple[Ints, "MaskedRows"]]) -> "MaskedRows":
        """Combine parts of a shard into one.

        Args:
            parts: For each part, the positions [rows of the part] of its rows in the result, and the rows.
        """
        parts = [(numbers, rows) for numbers, rows in parts if len(rows)] or list(parts[:1])
        numbers = np.concatenate([numbers for numbers, _ in parts])
        if len(parts) == 1 and np.array_equal(numbers, np.arange(len(numbers))):
            return parts[0][1]
        every = [rows for _, rows in parts]
        is_weighted = any(rows.weights is not None for rows in every)
        shows_images = any(rows.images is not None for rows in every)
        together = cls(
            np.concatenate([rows.input_ids for rows in every]),
            np.concatenate([rows.loss_mask for rows in every]),
            offsets_of(np.concatenate([rows.lengths for rows in every])),
            np.concatenate([rows.weights_or_ones() for rows in every]) if is_weighted else None,
            np.concatenate([rows.images_or_none() for rows in every]) if shows_images else None,
        )
        return together.gather(np.argsort(numbers))

    def weights_or_ones(self) -> npt.NDArray[np.float32]:
        """[tokens] Return the weights, also if every target has weight 1."""
        return self.loss_mask.astype(np.float32) if self.weights is None else self.weights

    def images_or_none(self) -> npt.NDArray[np.int32]:
        """[tokens] Return the numbers of images, also if no row has images."""
        return np.zeros(len(self.input_ids), np.int32) if self.images is None else self.images


def flat(rows: Sequence[Sequence[int]], dtype: type[Any]) -> npt.NDArray[Any]:
    """Concatenate the values of all rows to one array."""
    return np.concatenate([np.zeros(0, dtype), *(np.asarray(row, dtype) for row in rows)])
