"""The kernel: texts and character spans in, token ids and loss masks out, a batch at a time.

A character span becomes a token mask through the offsets of the encoding:

    text     "2+2=4"        span [4, 5)
    tokens   2 + 2 = 4 <e>
    mask     0 0 0 0 1 1    the end token belongs to a span that reaches the end of the text

A token that reaches over the start of a span is a target: it holds the span's first characters, and nothing else
predicts them.
"""

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Encoding, Tokenizer

from sft_core.tokenizer import TokenizerRef, load_tokenizer


@dataclass(frozen=True, slots=True)
class Encoder:
    """A tokenizer as the masks need it: exact offsets, no truncation, no padding."""

    backend: Tokenizer
    bos_token_id: int | None
    eos_token_id: int | None

    def encode(
        self, texts: Sequence[str], spans: Sequence[list[int]], wants_special_tokens: bool
    ) -> list["MaskedTokens"]:
        """Encode a batch of texts.

        Args:
            texts: [rows]
            spans: [rows] flat lists of [start, end) pairs in characters.
            wants_special_tokens: True for plain text, which gets the tokenizer's special tokens and one end token;
                False for text that a chat template rendered, which has them already.
        """
        encodings = self.backend.encode_batch(list(texts), add_special_tokens=wants_special_tokens)
        rows = zip(encodings, texts, spans, strict=True)
        if not wants_special_tokens:
            return [MaskedTokens(encoding.ids, _mask(encoding, flat)) for encoding, _, flat in rows]
        return [
            self._with_end(encoding, _mask(encoding, flat), bool(flat) and flat[-1] == len(text))
            for encoding, text, flat in rows
        ]

    def encode_prompts(self, prompts: Sequence[str], wants_special_tokens: bool) -> list[list[int]]:
        """Encode texts to generate from: as in training, without an end token that the tokenizer appends by itself."""
        encodings = self.backend.encode_batch(list(prompts), add_special_tokens=wants_special_tokens)
        return [encoding.ids[slice(*self._own_ends(encoding))] for encoding in encodings]

    def _with_end(self, encoding: Encoding, mask: list[int], end_is_target: bool) -> "MaskedTokens":
        """Exactly one beginning token where the tokenizer writes one, exactly one end token always.

        An end token that the text itself ends with is the row's own, unless the row wants to learn to stop and the
        token belongs to the prompt (a prompt that ends with one, before an empty completion).
        """
        start, stop = self._own_ends(encoding)
        ids, mask = encoding.ids[start:stop], mask[start:stop]
        if self.eos_token_id is None:
            return MaskedTokens(ids, mask)
        if ids and ids[-1] == self.eos_token_id and mask[-1] >= int(end_is_target):
            return MaskedTokens(ids, mask)
        return MaskedTokens([*ids, self.eos_token_id], [*mask, int(end_is_target)])

    def _own_ends(self, encoding: Encoding) -> tuple[int, int]:
        """Leave out a beginning token that the text has as well, and an end token that is not from the text."""
        ids = encoding.ids
        doubled = len(ids) > 1 and ids[0] == ids[1] == self.bos_token_id and encoding.token_to_chars(0) is None
        appended = bool(ids) and ids[-1] == self.eos_token_id and encoding.token_to_chars(len(ids) - 1) is None
        return int(doubled), len(ids) - int(appended and len(ids) > 1)


@dataclass(frozen=True, slots=True)
class MaskedTokens:
    """Token ids [tokens] and, for each, 1 if it is a target of the loss."""

    input_ids: list[int]
    loss_mask: list[int]

    @property
    def num_targets(self) -> int:
        """Targets after the shift by one: nothing predicts the first token."""
        return sum(self.loss_mask[1:])

    def cut(self, max_length: int | None) -> "MaskedTokens":
        """Keep the start."""
        return MaskedTokens(self.input_ids[:max_length], self.loss_mask[:max_length])


def _mask(encoding: Encoding, flat_spans: list[int]) -> list[int]:
    mask = [0] * len(encoding.ids)
    for start, end in zip(flat_spans[::2], flat_spans[1::2], strict=True):
        first, stop = _token_range(encoding, start, end)
        mask[first:stop] = [1] * (stop - first)
    return mask


def _token_range(encoding: Encoding, start: int, end: int) -> tuple[int, int]:
    """Tokens [first, stop) that hold a character of [start, end); empty if none does."""
    first = next((token for char in range(start, end) if (token := encoding.char_to_token(char)) is not None), None)
    if first is None:
        return 0, 0
    last = next(token for char in range(end - 1, start - 1, -1) if (token := encoding.char_to_token(char)) is not None)
    stop = last + 1  # a character of several tokens (an emoji) is found at its first one
    while stop < len(encoding.ids) and (chars := encoding.token_to_chars(stop)) is not None and chars[0] < end:
        stop += 1
    return first, stop


def encoder_of(ref: TokenizerRef) -> Encoder:
    """Make the encoder of a tokenizer, once per process."""
    return _encoder(ref)


@functools.lru_cache(maxsize=4)
def _encoder(ref: TokenizerRef) -> Encoder:
    tokenizer = load_tokenizer(ref)
    description = _with_whole_offsets(json.loads(tokenizer.backend_tokenizer.to_str()))
    backend = Tokenizer.from_str(json.dumps({**description, "truncation": None, "padding": None}))
    return Encoder(backend, tokenizer.bos_token_id, tokenizer.eos_token_id)


def _with_whole_offsets(value: Any) -> Any:
    """Byte-level tokenizers leave leading spaces out of a token's offsets (`trim_offsets`); spans need every character
    to be some token's."""
    if isinstance(value, dict):
        return {key: False if key == "trim_offsets" else _with_whole_offsets(item) for key, item in value.items()}
    return [_with_whole_offsets(item) for item in value] if isinstance(value, list) else value
