"""Add the tokens around a text: a beginning token if the tokenizer writes one, and exactly one end token.

    tokenizer writes   text        row
    <s> $A             "ad"        <s> a d </s>
    <s> $A </s>        "<s>ad"     <s> a d </s>
    nothing            "ad</s>"    a d </s>

Text rendered by a chat template already has them, so none are added.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from sft_core.data.tokens.rows import Bools, Ints, MaskedRows, TextRows
from sft_core.store.ragged import offsets_of, positions_of


@dataclass(frozen=True, slots=True)
class Frame:
    """The ids that a tokenizer writes before and after a text, and its beginning and end token."""

    before: tuple[int, ...]
    """Ids before a text."""
    behind: tuple[int, ...]
    """Ids after a text, without the end token."""
    bos_token_id: int | None
    eos_token_id: int | None

    @classmethod
    def of(cls, backend: Tokenizer, bos_token_id: int | None, eos_token_id: int | None) -> "Frame":
        """Determine the frame of a tokenizer by encoding one text that has tokens."""
        has_tokens = backend.encode("a", add_special_tokens=False).ids
        texts = ["a"] if has_tokens else backend.get_vocab()
        text = next((text for text in texts if backend.encode(text, add_special_tokens=False).ids), "")
        encoding = backend.encode(text)
        inner = [at for at, sequence in enumerate(encoding.sequence_ids) if sequence is not None] or [0]
        before, behind = encoding.ids[: inner[0]], encoding.ids[inner[-1] + 1 :]
        if behind and behind[-1] == eos_token_id:
            behind = behind[:-1]
        return cls(tuple(before), tuple(behind), bos_token_id, eos_token_id)

    def around(self, bodies: MaskedRows, rows: TextRows, is_open: bool = False) -> MaskedRows:
        """Add the frame to the rows of plain text.

        If the text itself ends with an end token, no second one is added. The exception is a row whose end is a target
        while that token is not (a prompt that ends with an end token, before an empty completion).

        Args:
            bodies: The tokens of the texts.
            rows: The texts.
            is_open: True to add no end token, for prompts to generate from.
        """
        wants = rows.wants_special_tokens
        if not wants.any():
            return bodies
        num_before = wants * (len(self.before) - self._begins_itself(bodies))
        num_behind = wants * len(self.behind)
        end_weight = _weight_at_the_end(rows)
        has_end = wants & ~self._ends_itself(bodies, end_weight > 0) & (not is_open and self.eos_token_id is not None)
        framed = _with_room(bodies, num_before, num_behind + has_end, is_weighted=rows.spans.weight is not None)
        for at, token in enumerate(self.before):
            framed.input_ids[framed.offsets[:-1][num_before > at] + at] = token
        for at, token in enumerate(self.behind):
            positions = (framed.offsets[1:] - num_behind - has_end)[wants] + at
            framed.input_ids[positions] = token
        ends = framed.offsets[1:][has_end] - 1
        framed.input_ids[ends] = -1 if self.eos_token_id is None else self.eos_token_id
        framed.loss_mask[ends] = end_weight[has_end] > 0
        if framed.weights is not None:
            framed.weights[ends] = end_weight[has_end]
        return framed

    def _begins_itself(self, bodies: MaskedRows) -> Bools:
        """[rows] Return True if the text begins with the token that the tokenizer would write before it."""
        if not self.before or self.before[-1] != self.bos_token_id:
            return np.zeros(len(bodies), np.bool_)
        begins: Bools = _tokens_at(bodies, bodies.offsets[:-1]) == self.bos_token_id
        return begins

    def _ends_itself(self, bodies: MaskedRows, end_is_target: Bools) -> Bools:
        if self.eos_token_id is None or self.behind:
            return np.zeros(len(bodies), np.bool_)
        last = bodies.offsets[1:] - 1
        is_target = np.append(bodies.loss_mask, 0)[last] > 0
        ends: Bools = (_tokens_at(bodies, last) == self.eos_token_id) & (is_target | ~end_is_target)
        return ends


def _tokens_at(rows: MaskedRows, positions: Ints) -> npt.NDArray[Any]:
    """[rows] Return the token at a flat position in each row; -1 for empty rows."""
    return np.where(rows.lengths > 0, np.append(rows.input_ids, -1)[positions], -1)


def _weight_at_the_end(rows: TextRows) -> npt.NDArray[np.float32]:
    """[rows] Return the weight of the span that reaches the end of the text; 0 if no span does."""
    spans = rows.spans
    lengths = np.array([len(text) for text in rows.texts], np.int64)
    reaches = spans.is_learned & (spans.end == lengths[spans.row])
    weights = np.zeros(len(lengths), np.float32)
    np.maximum.at(weights, spans.row[reaches], 1.0 if spans.weight is None else spans.weight[reaches])
    return weights


def _with_room(bodies: MaskedRows, before: Ints, behind: Ints, is_weighted: bool) -> MaskedRows:
    """Copy rows into larger arrays with empty positions before and after each row.

    Args:
        bodies: The rows.
        before: [rows] number of empty positions before each row.
        behind: [rows] number of empty positions after each row.
        is_weighted: True if the result has weights.
    """
    offsets = offsets_of(bodies.lengths + before + behind)
    tokens = positions_of(offsets[:-1] + before, bodies.lengths)
    framed = MaskedRows(
        np.zeros(offsets[-1], np.int32),
        np.zeros(offsets[-1], np.uint8),
        offsets,
        np.zeros(offsets[-1], np.float32) if is_weighted else None,
        None if bodies.images is None else np.zeros(offsets[-1], np.int32),
    )
    framed.input_ids[tokens], framed.loss_mask[tokens] = bodies.input_ids, bodies.loss_mask
    if framed.weights is not None:
        framed.weights[tokens] = bodies.weights_or_ones()
    if framed.images is not None:
        framed.images[tokens] = bodies.images_or_none()
    return framed
