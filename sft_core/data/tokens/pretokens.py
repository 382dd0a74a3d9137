"""Pre-tokenization patterns that split a text into the same words in `tokenizers` and in `tiktoken`.

Both split by a regular expression, `tokenizers` with Oniguruma and `tiktoken` with fancy-regex. A pattern is listed
here if the tests have compared both engines on it, over every code point. Its matches cover every text completely,
because `tiktoken` drops and `tokenizers` keeps the characters that a pattern does not match.

The engines may implement different versions of Unicode. A character that this Python's Unicode has not assigned yet
(category Cn) may be a letter for one engine and a symbol for the other, so `tokenizers` encodes any row that contains
one. For all other characters the tests compare the classes that the patterns use.
"""

import unicodedata
from collections.abc import Iterable
from typing import Any

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}"
QWEN2 = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}"
EQUAL_PATTERNS = frozenset({GPT2, LLAMA3, QWEN2})


def pattern_of(pre_tokenizer: dict[str, Any] | None) -> str | None:
    """Return the pattern by which a byte-level tokenizer splits text; None if it is not known for both engines.

    Args:
        pre_tokenizer: The `pre_tokenizer` of a `tokenizer.json`.
    """
    match pre_tokenizer:
        case {"type": "ByteLevel", "add_prefix_space": False, **rest} if rest.get("use_regex", True):
            return GPT2
        case {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": str(pattern)}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
            ],
        } if pattern in EQUAL_PATTERNS:
            return str(pattern)
    return None


def unknown_characters(texts: Iterable[str]) -> frozenset[str]:
    """Return the characters of some texts that this Python's Unicode has not assigned."""
    return frozenset(char for char in set().union(*texts) if unicodedata.category(char) == "Cn")
