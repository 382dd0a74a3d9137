"""Which ways of cutting a text into words mean the same in `tokenizers` and in `tiktoken`.

Both cut by a regular expression, one with Oniguruma, the other with fancy-regex. A pattern is in the table here if the
tests have compared both engines on it, over every code point; it matches every text as a whole, since what it would
leave out `tiktoken` drops and `tokenizers` keeps.

The engines could know different versions of Unicode. A character that this Python's Unicode does not know yet
(category Cn) may be a letter for one of them and a symbol for the other, so a row that holds one is encoded by
`tokenizers`. For all others the tests compare the classes that the patterns use.
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
    """The pattern by which a byte-level tokenizer cuts text, if both engines have it; else None.

    Args:
        pre_tokenizer: Of a `tokenizer.json`.
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
    """Characters of some texts that this Python's Unicode has not assigned."""
    return frozenset(char for char in set().union(*texts) if unicodedata.category(char) == "Cn")
