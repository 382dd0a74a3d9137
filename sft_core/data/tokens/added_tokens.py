"""Split a text at its added tokens, as the tokenizer does.

    "<|user|>a  b"    →    <|user|>  "a"  ␣␣  "b"

`tokenizers` finds added tokens before anything else: the leftmost match first, and the longest of several that begin at
the same position. It first searches the raw text for those with `normalized: false`, and then searches the remaining
parts, normalized, for the others. Most rows contain no added token. A quick check for a few short texts, of which every
added token contains one, shows that.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class AddedTokens:
    """The added tokens of a tokenizer: text → id.

    Tokens whose flags make their match depend on the surrounding text (`lstrip`, `rstrip`, `single_word`) are not found
    here. If `has_contextual` is True for a text, the tokenizer itself has to encode it.
    """

    raw: dict[str, int]
    """Tokens that are searched for in the raw text."""
    normalized: dict[str, int]
    """Tokens that are searched for in the normalized text."""
    contextual: frozenset[str]
    """Texts of the tokens whose match depends on the surrounding text."""

    @classmethod
    def of(cls, tokens: Sequence[dict[str, Any]]) -> "AddedTokens":
        """Read the `added_tokens` of a `tokenizer.json`."""
        flags = ("lstrip", "rstrip", "single_word")
        contextual = {token["content"] for token in tokens if any(token[flag] for flag in flags)}
        plain = [token for token in tokens if token["content"] not in contextual]
        raw, normalized = (
            {token["content"]: token["id"] for token in plain if token["normalized"] is is_normalized}
            for is_normalized in (False, True)
        )
        return cls(raw, normalized, frozenset(contextual))

    @cached_property
    def ids(self) -> dict[str, int]:
        """Text → id of all added tokens that `split` finds."""
        return self.normalized | self.raw

    def has_contextual(self, text: str) -> bool:
        """Return True if the text contains a token whose match depends on the surrounding text."""
        return any(content in text for content in self.contextual)

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Yield the parts of a text in order: (plain text, None) or (text of an added token, its id)."""
        if not any(content in text for content in self._shortest):
            yield text, None
            return
        for part, token in _split(text, self._raw_pattern, self.raw):
            if token is None:
                yield from _split(part, self._normalized_pattern, self.normalized)
            else:
                yield part, token

    @cached_property
    def _shortest(self) -> list[str]:
        """Smallest list of added tokens such that every added token contains one of them."""
        shortest: list[str] = []
        for content in sorted(self.ids, key=len):
            if not any(other in content for other in shortest):
                shortest.append(content)
        return shortest

    @cached_property
    def _raw_pattern(self) -> re.Pattern[str] | None:
        return longest_first(self.raw)

    @cached_property
    def _normalized_pattern(self) -> re.Pattern[str] | None:
        return longest_first(self.normalized)


def longest_first(contents: Iterable[str]) -> re.Pattern[str] | None:
    """Compile a pattern that finds the leftmost of some texts, and the longest of those that begin at one position.

    Returns:
        None if there are no texts.
    """
    ordered = sorted(contents, key=lambda content: (-len(content), content))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _split(text: str, pattern: re.Pattern[str] | None, ids: dict[str, int]) -> Iterator[tuple[str, int | None]]:
    start = 0
    for match in pattern.finditer(text) if pattern else ():
        if match.start() > start:
            yield text[start : match.start()], None
        yield match.group(), ids[match.group()]
        start = match.end()
    if start < len(text):
        yield text[start:], None
