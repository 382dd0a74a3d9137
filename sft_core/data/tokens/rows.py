"""Rows of tokens as flat arrays, and the rows of text they are made from.

    input_ids   [19 12 19 30 21 0 | 26 0]        two rows, one behind the other
    loss_mask   [ 0  0  0  0  1 1 |  1 1]
    offsets     [0, 6, 8]

All that happens to rows (keeping some, cutting some, putting two halves of a shard together) is one gather: which row,
from which of its tokens on, how many.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of all rows, flat [spans]: row, first character, the character behind the last, weight.

    Rows ascend, and so do the spans of a row.
    """

    row: Ints
    start: Ints
    end: Ints
    weight: npt.NDArray[np.float32] | None = None
    """None: every weight is 1."""
    image: Ints | None = None
    """Which image of its row a span is, from 1 on, and 0 where it is one to learn. None: all are to learn."""

    @property
    def is_learned(self) -> Bools:
        """[spans] whether it is no image."""
        return np.ones(len(self.row), np.bool_) if self.image is None else self.image == 0

    @classmethod
    def of(cls, spans: Sequence[Sequence[int]], weights: Sequence[Sequence[float] | None] | None = None) -> Self:
        """Make them from one flat list of [start, end) pairs a row, and one list of weights a row or None."""
        counts = [len(flat) // 2 for flat in spans]
        ends = np.array([position for flat in spans for position in flat], np.int64)
        values = None
        if weights is not None and any(row is not None for row in weights):
            pairs = zip(counts, weights, strict=True)
            values = np.array([w for count, row in pairs for w in (row or [1.0] * count)], np.float32)
        return cls(np.repeat(np.arange(len(counts)), counts), ends[::2], ends[1::2], values)

    @classmethod
    def none(cls) -> Self:
        """No spans at all."""
        return cls(*np.zeros((3, 0), np.int64))

    def where(self, chosen: Bools) -> "Spans":
        """Only some of the spans."""
        weight = None if self.weight is None else self.weight[chosen]
        image = None if self.image is None else self.image[chosen]
        return Spans(self.row[chosen], self.start[chosen], self.end[chosen], weight, image)

    def of_rows(self, rows: Ints) -> "Spans":
        """The spans of some ascending rows, which are then numbered from 0."""
        found = np.minimum(np.searchsorted(rows, self.row), max(len(rows) - 1, 0))
        chosen = rows[found] == self.row if len(rows) else np.zeros(len(self.row), np.bool_)
        kept = self.where(chosen)
        return Spans(found[chosen], kept.start, kept.end, kept.weight, kept.image)


@dataclass(frozen=True, slots=True)
class TextRows:
    """Texts with what is learned of each."""

    texts: Sequence[str]
    spans: Spans
    wants_special_tokens: Bools
    """[rows] True for plain text, which gets the tokenizer's special tokens and one end token; False for text that a
    chat template rendered, which has them already."""
    literals: Mapping[int, Sequence[int]]
    """Row → flat [start, end) pairs of characters where text that spells a special token is plain text."""

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
        """Make them from Python lists."""
        wants = np.broadcast_to(np.asarray(wants_special_tokens, np.bool_), len(texts))
        return cls(texts, Spans.of(spans, weights), wants, literals or {})


@dataclass(frozen=True, slots=True)
class MaskedTokens:
    """One row: token ids [tokens] and, for each, 1 if it is a target of the loss."""

    input_ids: list[int]
    loss_mask: list[int]


@dataclass(frozen=True, slots=True)
class MaskedRows:
    """Token ids and masks of all rows, flat [tokens]; row `i` is `offsets[i]:offsets[i + 1]`."""

    input_ids: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.uint8]
    offsets: Ints
    weights: npt.NDArray[np.float32] | None = None
    """0 where there is no target. None: 1 wherever there is one."""
    images: npt.NDArray[np.int32] | None = None
    """Which image of its row a token belongs to, from 1 on, and 0 for text. None: no row has images."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[MaskedTokens]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> MaskedTokens:
        tokens = slice(self.offsets[row], self.offsets[row + 1])
        return MaskedTokens(self.input_ids[tokens].tolist(), self.loss_mask[tokens].tolist())

    @classmethod
    def of(cls, ids: Sequence[Sequence[int]], masks: Sequence[Sequence[int]]) -> Self:
        """Make them from one list of ids and one of mask values a row."""
        return cls(flat(ids, np.int32), flat(masks, np.uint8), offsets_of([len(row) for row in ids]))

    @property
    def lengths(self) -> Ints:
        """[rows] tokens of each row."""
        return np.diff(self.offsets)

    @property
    def num_targets(self) -> Ints:
        """[rows] targets after the shift by one: nothing predicts the first token of a row."""
        before = np.concatenate([[0], np.cumsum(self.loss_mask, dtype=np.int64)])
        targets: Ints = before[self.offsets[1:]] - before[np.minimum(self.offsets[:-1] + 1, self.offsets[1:])]
        return targets

    def gather(self, rows: Ints, starts: Ints | int = 0, lengths: Ints | None = None) -> "MaskedRows":
        """Take `lengths[i]` tokens of row `rows[i]` from its token `starts[i]` on; by default whole rows."""
        lengths = self.lengths[rows] if lengths is None else lengths
        offsets = offsets_of(lengths)
        tokens = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][rows] + starts - offsets[:-1], lengths)
        weights = None if self.weights is None else self.weights[tokens]
        images = None if self.images is None else self.images[tokens]
        return MaskedRows(self.input_ids[tokens], self.loss_mask[tokens], offsets, weights, images)

    def last(self, marked: Bools) -> Ints:
        """[rows] position in the flat arrays of each row's last marked token, -1 where none is marked."""
        positions = np.concatenate([[-1], np.flatnonzero(marked)])
        found = positions[np.searchsorted(positions, self.offsets[1:]) - 1]
        last: Ints = np.where(found >= self.offsets[:-1], found, -1)
        return last

    @classmethod
    def interleaved(cls, parts: Sequence[tuple[Ints, "MaskedRows"]]) -> "MaskedRows":
        """Put parts of a shard together: the rows of each part get the numbers given with it."""
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
        """[tokens] weights, also where all are 1."""
        return self.loss_mask.astype(np.float32) if self.weights is None else self.weights

    def images_or_none(self) -> npt.NDArray[np.int32]:
        """[tokens] numbers of images, also where there is none."""
        return np.zeros(len(self.input_ids), np.int32) if self.images is None else self.images


def offsets_of(lengths: Sequence[int] | Ints) -> Ints:
    """[rows + 1] where each row begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def flat(rows: Sequence[Sequence[int]], dtype: type[Any]) -> npt.NDArray[Any]:
    """One array of all rows' values."""
    return np.concatenate([np.zeros(0, dtype), *(np.asarray(row, dtype) for row in rows)])
