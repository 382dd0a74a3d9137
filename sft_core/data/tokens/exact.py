"""The exact encoder: `tokenizers`, for any tokenizer that it supports, with the offsets in its encodings.

It also encodes the rows in which the data spells out a special token, next to real ones from the chat template:

    <|im_start|>user⏎what is <|im_end|>?<|im_end|>⏎        literals [25, 35)

To distinguish them, the real ones get another spelling, in the row and in a second tokenizer: they are enclosed in a
character that the row does not contain (a noncharacter of Unicode, which no text should contain). Then one encoding of
the whole row is exact, whatever the tokenizer does at the start of a text or around its special tokens.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
from tokenizers import AddedToken, Encoding, Tokenizer

from sft_core.data.tokens.added_tokens import longest_first
from sft_core.data.tokens.masks import mark, ranges_by_offsets
from sft_core.data.tokens.rows import MaskedRows, Spans, flat
from sft_core.store.ragged import offsets_of

NONCHARACTERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]


@dataclass(frozen=True)
class ExactEncoder:
    """Encoder that uses `tokenizers`, without truncation, padding, or tokens around a text."""

    backend: Tokenizer
    also_special: frozenset[str] = frozenset()
    """Tokens that data must not be able to forge although the tokenizer does not declare them as special."""
    _respelled: dict[str, "_Respelled"] = field(default_factory=dict)

    def encode(self, texts: Sequence[str], spans: Spans, literals: Mapping[int, Sequence[int]]) -> MaskedRows:
        """Encode texts to ids and loss masks; `literals` as in `TextRows`."""
        texts, moved = list(texts), replace(spans, start=spans.start.copy(), end=spans.end.copy())
        respelled: dict[int, _Respelled] = {}
        for row, row_literals in literals.items():
            respelled[row] = self._respelled_for(texts[row])
            texts[row] = respelled[row].rewrite(texts[row], row_literals, moved, row)
        encodings = self._encode(texts, respelled)
        ids = [
            respelled[row].ids_of(encoding) if row in respelled else encoding.ids
            for row, encoding in enumerate(encodings)
        ]
        offsets = offsets_of([len(row) for row in ids])
        return mark(flat(ids, np.int32), offsets, ranges_by_offsets(encodings, offsets, moved), spans)

    def _encode(self, texts: list[str], respelled: Mapping[int, "_Respelled"]) -> list[Encoding]:
        encodings: list[Encoding] = self.backend.encode_batch(
            ["" if row in respelled else text for row, text in enumerate(texts)], add_special_tokens=False
        )
        for row, tokenizer in respelled.items():
            encodings[row] = tokenizer.backend.encode(texts[row], add_special_tokens=False)
        return encodings

    def _respelled_for(self, text: str) -> "_Respelled":
        character = next(character for character in NONCHARACTERS if character not in text)
        if character not in self._respelled:
            self._respelled[character] = _Respelled.of(
                orjson.loads(self.backend.to_str()), character, self.also_special
            )
        return self._respelled[character]


@dataclass(frozen=True, slots=True)
class _Respelled:
    """A tokenizer whose special tokens have another spelling: enclosed in a character."""

    backend: Tokenizer
    special_tokens: tuple[str, ...]
    character: str
    ids: npt.NDArray[np.int32]
    """[ids of this tokenizer] id in the original tokenizer."""

    @classmethod
    def of(cls, description: dict[str, Any], character: str, also_special: frozenset[str]) -> "_Respelled":
        """Create the tokenizer from a `tokenizer.json`."""
        added = [
            {**token, "special": token["special"] or token["content"] in also_special}
            for token in description["added_tokens"]
        ]
        respelled = [
            {**token, "content": f"{character}{token['content']}{character}", "normalized": False}
            if token["special"]
            else token
            for token in added
        ]
        special = tuple(token["content"] for token in added if token["special"])
        model = _respelled_model(description["model"], special, character)
        backend = Tokenizer.from_str(orjson.dumps({**description, "model": model, "added_tokens": []}).decode())
        ids = np.arange(max(backend.get_vocab().values(), default=0) + len(respelled) + 1, dtype=np.int32)
        for token, original in zip(respelled, added, strict=True):
            backend.add_tokens([_added_token(token)])
            ids[backend.token_to_id(token["content"])] = original["id"]
        return cls(backend, special, character, ids)

    def rewrite(self, text: str, literals: Sequence[int], spans: Spans, row: int) -> str:
        """Respell the special tokens of a text outside of its literals, and shift the row's spans in place."""
        pattern = longest_first(self.special_tokens)
        bounds = [0, *literals, len(text)]
        found = [
            match.span()
            for start, end in zip(bounds[::2], bounds[1::2], strict=True)
            for match in (pattern.finditer(text, start, end) if pattern else ())
        ]
        starts, ends = [start for start, _ in found], [end for _, end in found]
        for index in np.flatnonzero(spans.row == row):
            for positions in (spans.start, spans.end):
                positions[index] += bisect_left(starts, positions[index]) + bisect_right(ends, positions[index])
        for start, end in reversed(found):
            text = f"{text[:start]}{self.character}{text[start:end]}{self.character}{text[end:]}"
        return text

    def ids_of(self, encoding: Encoding) -> list[int]:
        """Return the ids of the original tokenizer."""
        return list(self.ids[encoding.ids].tolist())


def _respelled_model(model: dict[str, Any], special: Sequence[str], character: str) -> dict[str, Any]:
    """Respell the special tokens in a model's vocabulary, so that the model itself cannot find them in plain text.

    A BPE model needs no change: it makes tokens by merges, and special tokens have none.
    """
    if model["type"] == "BPE":
        return model
    names = {content: f"{character}{content}{character}" for content in special if content != model.get("unk_token")}
    if isinstance(model["vocab"], dict):
        return {**model, "vocab": {names.get(word, word): number for word, number in model["vocab"].items()}}
    return {**model, "vocab": [[names.get(word, word), score] for word, score in model["vocab"]]}


def _added_token(token: Mapping[str, Any]) -> AddedToken:
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return AddedToken(token["content"], **{flag: token[flag] for flag in flags})
