"""A tokenizer that encodes and decodes with the `tokenizers` library alone.

It encodes and decodes as `transformers` does with `clean_up_tokenization_spaces=False`, because both run the same
`tokenizer.json`; `transformers` and torch, whose import takes seconds, are not needed for it.
"""

import functools
from collections.abc import Sequence

from tokenizers import Tokenizer

from sft_core.pretrained.tokenizer import TokenizerContents, TokenizerRef, contents_of


class PlainTokenizer:
    """Converter of text to token ids and back."""

    def __init__(self, contents: TokenizerContents) -> None:
        self._tokenizer = Tokenizer.from_str(contents.description)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.special_ids = frozenset(contents.special_ids)
        self.eos_token_id = contents.eos_token_id

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        """Return the ids [tokens] of a text; the spelling of a special token becomes that token."""
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of some ids [tokens], special tokens included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))

    def name_of(self, token: int) -> str:
        """Return the token of an id, as written in the vocabulary; an empty string for an unknown id."""
        return self._tokenizer.id_to_token(token) or ""


@functools.lru_cache(maxsize=4)
def plain_tokenizer(ref: TokenizerRef) -> PlainTokenizer:
    """Load the tokenizer that `ref` identifies, once per process.

    Raises:
        RecipeError: as in `sft_core.pretrained.tokenizer.load_tokenizer`.
    """
    return PlainTokenizer(contents_of(ref))
