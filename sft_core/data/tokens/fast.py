"""The fast encoder: `tiktoken`, for the rows that it provably encodes as `tokenizers` does.

The tokens of a byte-level tokenizer are consecutive pieces of the text's bytes. The position of a token in the text
therefore follows from the lengths of the tokens before it, and no offsets have to be stored:

    text     a  é  b          tokens   a  Ã©  b        (é is two bytes, here one token)
    bytes    1  2  1          ends     1   3  4

CPU time per row, measured on GSM8K, question and answer (150 tokens), GPT-NeoX: 28 µs; with `tokenizers` 138 µs
(`benchmarks/tokenize_rows.py`).
"""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import tiktoken

from sft_core.data.tokens.added_tokens import AddedTokens
from sft_core.data.tokens.byte_bpe import NO_ID, NotProvenError, prove_byte_bpe
from sft_core.data.tokens.pretokens import pattern_of, unknown_characters
from sft_core.data.tokens.rows import Bools, Ints
from sft_core.store.ragged import offsets_of

Ranks = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class ByteTokens:
    """Tokens of some texts, and their positions in the concatenated bytes of all texts."""

    input_ids: npt.NDArray[np.int32]
    """[tokens] ids of all rows."""
    ends: Ints
    """[tokens] byte offset of each token's end."""
    offsets: Ints
    """[rows + 1] index of each row's first token, then the number of tokens."""
    text_starts: Ints
    """[rows] byte offset of each text's start."""


@dataclass(frozen=True, slots=True)
class FastEncoder:
    """`tiktoken` with the ids of the tokenizer."""

    encoding: tiktoken.Encoding
    added: AddedTokens
    added_ranks: Mapping[int, Ranks]
    """Id of an added token → its rank, which is above those of the vocabulary."""
    ids: npt.NDArray[np.int32]
    """[ranks] id of each token."""
    num_bytes: Ints
    """[ranks] number of bytes of each token."""
    composes: bool
    """True if the tokenizer normalizes to NFC."""

    @classmethod
    def of(cls, description: Mapping[str, Any]) -> "FastEncoder":
        """Create the encoder from a `tokenizer.json`.

        Raises:
            NotProvenError: if `tiktoken` is not proven to make the same tokens.
        """
        pattern = pattern_of(description["pre_tokenizer"])
        if pattern is None:
            raise NotProvenError("the pre-tokenizer is not one that both engines are known to share")
        normalizer = (description["normalizer"] or {}).get("type")
        if normalizer not in (None, "NFC"):
            raise NotProvenError(f"the normalizer is {normalizer}")
        bpe = prove_byte_bpe(description["model"])
        added = AddedTokens.of(description["added_tokens"])
        return cls(
            # One special token that no text contains: without any, `tiktoken` searches for the empty text everywhere.
            encoding=tiktoken.Encoding(
                "proven", pat_str=pattern, mergeable_ranks=dict(bpe.ranks), special_tokens={_NEVER: len(bpe.ranks)}
            ),
            added=added,
            added_ranks={
                token: np.array([rank], np.uint32) for rank, token in enumerate(added.ids.values(), len(bpe.ranks))
            },
            ids=np.concatenate([bpe.ids, np.array(list(added.ids.values()), np.int32)]),
            num_bytes=np.array([*map(len, bpe.ranks), *(len(content.encode()) for content in added.ids)], np.int64),
            composes=normalizer == "NFC",
        )

    def can_encode(self, texts: Sequence[str]) -> Bools:
        """[rows] Return True for the texts that the proof covers."""
        unknown = unknown_characters(text for text in texts if not text.isascii())
        return np.array([self._is_plain(text, unknown) for text in texts], np.bool_)

    def _is_plain(self, text: str, unknown: frozenset[str]) -> bool:
        if self.added.has_contextual(text):
            return False
        if text.isascii():
            return True
        return unknown.isdisjoint(text) and (not self.composes or unicodedata.is_normalized("NFC", text))

    def encode(self, texts: Sequence[str], threads: int = 1) -> tuple[ByteTokens, Bools]:
        """Encode texts that `can_encode` allows.

        Args:
            texts: [rows] the texts.
            threads: Number of threads; `tiktoken` releases the GIL.

        Returns:
            The tokens, and [rows] True if they are correct. They are not if the text has a byte that the vocabulary
            lacks, or exceeds what the regular expression engine can match (a million spaces).
        """
        parts_of_rows = self._encode_all(texts, threads)
        parts = [part for parts in parts_of_rows for part in parts]
        ranks = np.concatenate([_NOTHING, *parts])
        offsets = offsets_of([sum(map(len, parts)) for parts in parts_of_rows])
        edges = offsets_of(self.num_bytes[ranks])
        row_ends = edges[offsets]
        text_bytes = [len(text) if text.isascii() else len(text.encode()) for text in texts]
        ids = self.ids[ranks]
        num_lacking = np.diff(offsets_of(ids == NO_ID)[offsets])
        is_right = (np.diff(row_ends) == np.array(text_bytes, np.int64)) & (num_lacking == 0)
        return ByteTokens(ids, edges[1:], offsets, row_ends[:-1]), is_right

    def _encode_all(self, texts: Sequence[str], threads: int) -> list[list[Ranks]]:
        if threads == 1:
            return [self._encode(text) for text in texts]
        share = -(-len(texts) // threads) or 1
        shares = [texts[start : start + share] for start in range(0, len(texts), share)]
        with ThreadPoolExecutor(threads) as pool:
            return [row for rows in pool.map(lambda share: [*map(self._encode, share)], shares) for row in rows]

    def _encode(self, text: str) -> list[Ranks]:
        try:
            return list(self._parts(text))
        except ValueError:  # "Max stack size exceeded for backtracking"
            return []

    def _parts(self, text: str) -> Iterator[Ranks]:
        for part, token in self.added.split(text):
            if token is None:
                yield self.encoding.encode_to_numpy(part, disallowed_special=())
            else:
                yield self.added_ranks[token]


_NEVER = "\ufdd0never\ufdd0"
_NOTHING = np.zeros(0, np.uint32)
