"""A tokenizer for reading and spelling ids, run by the `tokenizers` library alone.

It encodes and decodes as `transformers` does with `clean_up_tokenization_spaces=False`, because both run the same
`tokenizer.json`; `transformers` and torch, whose import takes seconds, are not needed for it.
"""

import functools
from collections.abc import Sequence

from tokenizers import Tokenizer

from sft_core.pretrained.tokenizer import TokenizerContents, TokenizerRef, contents_of


class PlainTokenizer:
    """Text to ids and back."""

    def __init__(self, contents: TokenizerContents) -> None:
        self._tokenizer = Tokenizer.from_str(contents.description)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.special_ids = frozenset(contents.special_ids)
        self.eos_token_id = contents.eos_token_id

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """Return the ids [tokens] of a text; special tokens that it spells out are taken for such."""
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some ids [tokens], special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def name_of(self, token: int) -> str:
        """Return how the vocabulary spells an id; empty for an id that it does not have."""
        return self._tokenizer.id_to_token(token) or ""


@functools.lru_cache(maxsize=4)
def plain_tokenizer(ref: TokenizerRef) -> PlainTokenizer:
    """Make the tokenizer that `ref` pins, once per process.

    Raises:
        RecipeError: as `sft_core.pretrained.tokenizer.load_tokenizer`.
    """
    return PlainTokenizer(contents_of(ref))
