"""Encode the texts and character spans of a shard to token ids and loss masks.

Two engines do the work: `tiktoken` if it provably makes the same tokens (`fast`, `byte_bpe`), and `tokenizers` for all
other tokenizers and rows (`exact`). Some rows of every shard are encoded by both. If one of them differs, `tokenizers`
encodes the whole shard, and the shard's facts record the reason.

Neither engine writes the tokens around a text. They are added here, in the same way for every tokenizer, so that a row
has exactly one beginning token and one end token:

    "2+2=" + "4", span [4, 5)     →   <s> 2 + 2 = 4 </s>      mask   0 0 0 0 0 1 1
"""

import functools
import threading
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import orjson
from tokenizers import Tokenizer

from sft_core.data.tokens.byte_bpe import NotProvenError
from sft_core.data.tokens.exact import ExactEncoder
from sft_core.data.tokens.fast import FastEncoder
from sft_core.data.tokens.frame import Frame
from sft_core.data.tokens.masks import mark, ranges_by_bytes
from sft_core.data.tokens.rows import Bools, Ints, MaskedRows, TextRows
from sft_core.errors import RecipeError
from sft_core.pretrained.processor import ImageTokens
from sft_core.pretrained.tokenizer import FrozenTokenizer, TokenizerRef

_MAKING = threading.Lock()
CHECKED_EVERY = 256
"""Interval of checks: of the rows that `tiktoken` encodes, `tokenizers` encodes every 256th as well, which takes about
2 % of the time."""


@dataclass(frozen=True, slots=True)
class EngineUse:
    """The engine that encoded some rows."""

    engine: str
    """`tiktoken` or `tokenizers`."""
    reason: str | None
    """Reason why `tiktoken` was not used; None if it was."""
    rows_by_tokenizers: int
    """Number of rows that `tokenizers` encoded."""


@dataclass(frozen=True)
class Encoder:
    """A tokenizer without truncation or padding that encodes texts to ids and loss masks."""

    exact: ExactEncoder
    fast: FastEncoder | None
    slow_because: str | None
    """Reason why there is no fast encoder; None if there is one."""
    frame: Frame

    @classmethod
    def of(cls, backend: Tokenizer, bos_token_id: int | None, eos_token_id: int | None) -> "Encoder":
        """Create the encoder of a tokenizer, with a fast encoder if `tiktoken` provably makes the same tokens."""
        description = {**orjson.loads(backend.to_str()), "truncation": None, "padding": None}
        for part in ("pre_tokenizer", "post_processor"):
            description[part] = _with_whole_offsets(description[part])
        backend = Tokenizer.from_str(orjson.dumps(description).decode())
        frame = Frame.of(backend, bos_token_id, eos_token_id)
        try:
            return cls(ExactEncoder(backend), FastEncoder.of(description), None, frame)
        except NotProvenError as error:
            return cls(ExactEncoder(backend), None, str(error), frame)

    @property
    def backend(self) -> Tokenizer:
        """The tokenizer."""
        return self.exact.backend

    @cached_property
    def vocabulary_size(self) -> int:
        """Highest id plus one, added tokens included."""
        return max(self.backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    @cached_property
    def is_stop(self) -> Bools:
        """[ids] True for tokens at which generation can stop: the end token and all special tokens."""
        special = [token for token, added in self.backend.get_added_tokens_decoder().items() if added.special]
        ids = special if self.frame.eos_token_id is None else [*special, self.frame.eos_token_id]
        return np.isin(np.arange(self.vocabulary_size), ids)

    @cached_property
    def is_blank(self) -> Bools:
        """[ids] True for tokens that are only white space."""
        texts = self.backend.decode_batch([[token] for token in range(self.vocabulary_size)], skip_special_tokens=False)
        return np.array([not text.strip() for text in texts], np.bool_)

    def ending_with(self, token: str) -> "Encoder":
        """Return this encoder with another end token of plain text.

        Raises:
            RecipeError: if the vocabulary has no such token.
        """
        token_id = self.backend.token_to_id(token)
        if token_id is None:
            raise RecipeError(
                f"tokens.eos_token: expected a token of the vocabulary, found '{token}', which is not in it; write it "
                "as the tokenizer does, or remove the field to use the tokenizer's own end token"
            )
        return replace(self, frame=replace(self.frame, eos_token_id=token_id))

    def showing(self, image_tokens: ImageTokens) -> "Encoder":
        """Return this encoder for a model that takes images: image tokens spelled in the data stay plain text."""
        return replace(self, exact=ExactEncoder(self.backend, frozenset(image_tokens.spellings)))

    def encode(self, rows: TextRows, threads: int = 1, is_open: bool = False) -> tuple[MaskedRows, EngineUse]:
        """Encode texts to ids and loss masks.

        Args:
            rows: Texts, their spans, and which of them get special tokens.
            threads: Number of threads; it does not change the result.
            is_open: True to add no end token, for prompts to generate from.

        Returns:
            The rows, and the engine that encoded them.
        """
        bodies, use = self._encode_bodies(rows, threads)
        return self.frame.around(bodies, rows, is_open), use

    def _encode_bodies(self, rows: TextRows, threads: int) -> tuple[MaskedRows, EngineUse]:
        everything = np.arange(len(rows.texts))
        if self.fast is None:
            return self._by_tokenizers(rows, everything), EngineUse("tokenizers", self.slow_because, len(everything))
        is_fast = self.fast.can_encode(rows.texts)
        is_fast[list(rows.literals)] = False
        numbers, quick = self._by_tiktoken(self.fast, rows, np.flatnonzero(is_fast), threads)
        others = np.setdiff1d(everything, numbers)
        if (row := self._differing_row(rows, numbers, quick)) is not None:
            reason = f"tiktoken and tokenizers encode text {row} of the shard differently"
            return self._by_tokenizers(rows, everything), EngineUse("tokenizers", reason, len(everything))
        bodies = MaskedRows.interleaved([(numbers, quick), (others, self._by_tokenizers(rows, others))])
        return bodies, EngineUse("tiktoken", None, len(others))

    def _by_tiktoken(self, fast: FastEncoder, rows: TextRows, numbers: Ints, threads: int) -> tuple[Ints, MaskedRows]:
        """Encode the rows with these numbers; return the numbers of those encoded correctly, and their tokens."""
        texts = [rows.texts[number] for number in numbers.tolist()]
        tokens, is_right = fast.encode(texts, threads)
        spans = rows.spans.of_rows(numbers)
        spans = spans.where(is_right[spans.row])
        ranges = ranges_by_bytes(texts, tokens.text_starts, tokens.ends, spans)
        masked = mark(tokens.input_ids, tokens.offsets, ranges, spans)
        return numbers[is_right], masked if is_right.all() else masked.gather(np.flatnonzero(is_right))

    def _by_tokenizers(self, rows: TextRows, numbers: Ints) -> MaskedRows:
        texts = [rows.texts[number] for number in numbers.tolist()]
        literals = {at: rows.literals[row] for at, row in enumerate(numbers.tolist()) if row in rows.literals}
        return self.exact.encode(texts, rows.spans.of_rows(numbers), literals)

    def _differing_row(self, rows: TextRows, numbers: Ints, quick: MaskedRows) -> int | None:
        """Return the first checked row whose tokens or masks differ from those of `tokenizers`; None if all agree."""
        chosen = np.arange(0, len(numbers), CHECKED_EVERY)
        exact = self._by_tokenizers(rows, numbers[chosen])
        return next((int(numbers[row]) for at, row in enumerate(chosen.tolist()) if quick[row] != exact[at]), None)


def _with_whole_offsets(value: Any) -> Any:
    """Return a part of a `tokenizer.json` with `trim_offsets` off.

    With it, byte-level tokenizers exclude leading spaces from a token's offsets, but every character of a span has to
    belong to a token.
    """
    if isinstance(value, dict):
        return {key: False if key == "trim_offsets" else _with_whole_offsets(item) for key, item in value.items()}
    return [_with_whole_offsets(item) for item in value] if isinstance(value, list) else value


def encoder_of(tokenizer: TokenizerRef | FrozenTokenizer, eos_token: str | None = None) -> Encoder:
    """Create the encoder of a tokenizer, once per process. A `FrozenTokenizer` needs no library except `tokenizers`.

    Args:
        tokenizer: The tokenizer.
        eos_token: End token of plain text; None for the tokenizer's own.

    Raises:
        RecipeError: if the vocabulary has no such token.
    """
    with _MAKING:  # shards run in threads
        return _encoder_of(tokenizer) if eos_token is None else _encoder_ending_with(tokenizer, eos_token)


@functools.lru_cache(maxsize=4)
def _encoder_of(tokenizer: TokenizerRef | FrozenTokenizer) -> Encoder:
    contents = tokenizer.contents()
    return Encoder.of(Tokenizer.from_str(contents.description), contents.bos_token_id, contents.eos_token_id)


@functools.lru_cache(maxsize=4)
def _encoder_ending_with(tokenizer: TokenizerRef | FrozenTokenizer, eos_token: str) -> Encoder:
    return _encoder_of(tokenizer).ending_with(eos_token)
