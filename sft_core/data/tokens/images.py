"""Expand the placeholders of images to the tokens that the model needs, and shift the spans of the text accordingly.

    text       <|user|><image>What?                       span [15, 20), one image of 2 tokens
    expanded   <|user|><image><image>What?                span [22, 27), image 1 at [8, 22)

The length of the expansion depends only on the sizes of the row's images. A token that contains a character of an
expansion belongs to the image: it is never a target of the loss, and truncation never splits an image.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from sft_core.data.tokens.rows import Bools, Ints, MaskedRows, Spans, TextRows
from sft_core.pretrained.processor import ImageTokens, Size, VisionProcessor
from sft_core.store.image_store import ImageRef, decode_images, encode_images
from sft_core.store.ragged import offsets_of

REFUSALS = (ValueError, ArithmeticError, LookupError, TypeError, RuntimeError)
"""Exceptions that processors raise for an image that they cannot take (such as one 300 times as wide as high)."""


@dataclass(frozen=True, slots=True)
class ShownImages:
    """The sizes of the images of some rows of text."""

    tokens: ImageTokens
    sizes: Mapping[int, tuple[Size, ...]]
    """Row → (height, width) of its images; has no entry for rows without images."""

    @classmethod
    def of(cls, tokens: ImageTokens, images: pa.ChunkedArray) -> "ShownImages":
        """Read the sizes from a column of image references."""
        shown = np.flatnonzero(images.is_valid().to_numpy()).tolist()
        return cls(tokens, {row: sizes_of(decode_images(images[row].as_py())) for row in shown})

    def expand(self, rows: TextRows) -> tuple[TextRows, Ints]:
        """Replace each placeholder in the texts by the expansion of its image.

        Returns:
            The rows; a row whose number of placeholders differs from its number of images is unchanged. And [rows] the
            number of image tokens that each row should have; -1 if the processor refuses its images.
        """
        expected = np.zeros(len(rows.texts), np.int64)
        texts, literals, spans = list(rows.texts), dict(rows.literals), _Moved.of(rows.spans)
        vision = self.tokens.vision() if self.sizes else None
        for row, sizes in self.sizes.items():
            assert vision is not None
            replacements, expected[row] = _ask(vision, sizes)
            own = literals.get(row, ())
            places = self.tokens.places(texts[row], own)
            if len(places) != len(replacements):
                continue
            expansion = _Expanded.of(texts[row], places, self.tokens.placeholder, replacements)
            texts[row] = expansion.text
            spans.move(row, expansion)
            if own:
                literals[row] = [expansion.moved(position) for position in own]
        return replace(rows, texts=texts, literals=literals, spans=spans.with_images()), expected


def count_image_tokens(rows: MaskedRows, ids: Sequence[int]) -> Ints:
    """[rows] Return the number of tokens whose embeddings the model replaces by those of an image."""
    return np.diff(offsets_of(np.isin(rows.input_ids, ids))[rows.offsets])


def images_after_cut(images: pa.ChunkedArray, rows: MaskedRows, is_cut: Bools) -> pa.Array:
    """Return the column of images without those whose tokens truncation removed."""
    kept = images.to_pylist()
    if rows.images is not None:
        for row in np.flatnonzero(is_cut & images.is_valid().to_numpy()).tolist():
            numbers = np.unique(rows.images[rows.offsets[row] : rows.offsets[row + 1]])
            left = [decode_images(kept[row])[number - 1] for number in numbers.tolist() if number]
            kept[row] = encode_images(left).decode() if left else None
    return pa.array(kept, pa.large_string())


def are_shown_otherwise(tokens: ImageTokens | None, images: pa.ChunkedArray, rows: MaskedRows, is_cut: Bools) -> Bools:
    """[rows] Return True if the images that truncation keeps would have other tokens without the removed images.

    Some models encode an image at a higher resolution if it is the only one.
    """
    found = np.zeros(len(rows), np.bool_)
    if tokens is None or rows.images is None:
        return found
    for row in np.flatnonzero(is_cut & images.is_valid().to_numpy()).tolist():
        sizes = sizes_of(decode_images(images[row].as_py()))
        numbers = np.unique(rows.images[rows.offsets[row] : rows.offsets[row + 1]])
        left = [number - 1 for number in numbers.tolist() if number]
        if 0 < len(left) < len(sizes):
            together, _ = _ask(tokens.vision(), sizes)
            alone, _ = _ask(tokens.vision(), tuple(sizes[number] for number in left))
            found[row] = alone != tuple(together[number] for number in left)
    return found


def sizes_of(images: Sequence[ImageRef]) -> tuple[Size, ...]:
    """Return (height, width) of each image."""
    return tuple((image.height, image.width) for image in images)


def _ask(vision: VisionProcessor, sizes: tuple[Size, ...]) -> tuple[tuple[str, ...], int]:
    try:
        return vision.expansion(sizes)
    except REFUSALS:
        return (), -1


@dataclass(frozen=True, slots=True)
class _Expanded:
    """A text with expanded placeholders; all positions are in characters."""

    text: str
    ends: list[int]
    """[images] end of each placeholder in the original text."""
    growth: list[int]
    """[images + 1] number of characters that the text has gained before each image, and in total."""
    images: list[tuple[int, int]]
    """[images] (start, end) of each expansion in the new text."""

    @classmethod
    def of(cls, text: str, places: Sequence[int], placeholder: str, replacements: Sequence[str]) -> "_Expanded":
        """Replace the placeholders at these places."""
        pieces: list[str] = []
        ends: list[int] = []
        growth, images = [0], []
        for place, replacement in zip(places, replacements, strict=True):
            pieces += [text[ends[-1] if ends else 0 : place], replacement]
            start = place + growth[-1]
            images.append((start, start + len(replacement)))
            ends.append(place + len(placeholder))
            growth.append(growth[-1] + len(replacement) - len(placeholder))
        return cls("".join([*pieces, text[ends[-1] if ends else 0 :]]), ends, growth, images)

    def moved(self, position: int) -> int:
        """Return the new offset of an original position that is outside all placeholders."""
        return position + self.growth[bisect_right(self.ends, position)]


@dataclass(frozen=True, slots=True)
class _Moved:
    """Spans that are shifted with the texts of their rows, and the images found in those texts."""

    spans: Spans
    images: list[tuple[int, int, int, int]]
    """(row, start, end, number from 1 on) of each image."""

    @classmethod
    def of(cls, spans: Spans) -> "_Moved":
        return cls(replace(spans, start=spans.start.copy(), end=spans.end.copy()), [])

    def move(self, row: int, expansion: _Expanded) -> None:
        """Shift the spans of a row, and record its images."""
        for index in range(*np.searchsorted(self.spans.row, [row, row + 1]).tolist()):
            for positions in (self.spans.start, self.spans.end):
                positions[index] = expansion.moved(int(positions[index]))
        self.images.extend((row, *place, number) for number, place in enumerate(expansion.images, 1))

    def with_images(self) -> Spans:
        """Return the spans of targets and of images, ordered by row."""
        if not self.images:
            return self.spans
        row, start, end, number = np.array(self.images, np.int64).T
        spans = self.spans
        order = np.argsort(np.concatenate([spans.row, row]), kind="stable")
        weight = None if spans.weight is None else np.concatenate([spans.weight, np.zeros(len(row), np.float32)])[order]
        return Spans(
            np.concatenate([spans.row, row])[order],
            np.concatenate([spans.start, start])[order],
            np.concatenate([spans.end, end])[order],
            weight,
            np.concatenate([np.zeros_like(spans.row), number])[order],
        )
