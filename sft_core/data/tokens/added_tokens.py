"""Added tokens in a text: where the tokenizer sees them, and what plain text is left between.

    "<|user|>a  b"    →    <|user|>  "a"  ␣␣  "b"

`tokenizers` looks for them before anything else, leftmost first and the longest of those that begin there; first those
that it looks for in the raw text, then, in what is left, those that it looks for in the normalized text. Most rows have
none: whether a row has one at all is asked with the few shortest texts that every added token contains.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class AddedTokens:
    """The added tokens of a tokenizer, by text.

    Those whose flags make what they match hang on the text around (`lstrip`, `rstrip`, `single_word`) are not found
    here: `has_contextual` says that a text needs the tokenizer itself.
    """

    raw: dict[str, int]
    normalized: dict[str, int]
    contextual: frozenset[str]

    @classmethod
    def of(cls, tokens: Sequence[dict[str, Any]]) -> "AddedTokens":
        """Read `added_tokens` of a `tokenizer.json`."""
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
        """Text → id of all that are found here."""
        return self.normalized | self.raw

    def has_contextual(self, text: str) -> bool:
        """Whether the text holds a token that hangs on what is around it."""
        return any(content in text for content in self.contextual)

    def split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Yield the parts of a text in order: plain text with None, added tokens with their id."""
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
        """Texts of which every added token contains one."""
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
    """A pattern that finds these texts leftmost first, and of those that begin at one place the longest."""
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
