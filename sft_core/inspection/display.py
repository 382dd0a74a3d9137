"""How tokens are shown, on a page as in a terminal: whitespace made visible, long stretches left out."""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sft_core.inspection.pieces import ImagePiece, Kind, Piece

RUN_TOKENS = 120
"""Of a stretch of one kind that is longer, only the first and the last half of these are shown."""
SHOWN_TOKENS = 480
"""Of a row."""
SIGNS = {" ": "·", "\n": "↵", "\t": "→", "\r": "␍"}
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})


@dataclass(frozen=True, slots=True)
class Gap:
    """Tokens that are not shown."""

    num_tokens: int
    kind: Kind | None


def visible(text: str) -> str:
    """Give every character a sign that can be seen: `a b⏎` becomes `a·b↵`, a zero-width space `U+200B`."""
    return "".join(_sign(character) for character in text)


def harmless(text: str) -> str:
    """Leave text as it is, but give those control characters a sign that a terminal would obey."""
    return "".join(
        _sign(character) if unicodedata.category(character) == "Cc" and character not in "\n\t" else character
        for character in text
    )


def label(piece: Piece) -> str:
    """What stands on a token: its text; of a character that is spread over several tokens, the first has it, the others
    a sign that points back; an image has its size, the beginning of its digest, and how many tokens it takes."""
    if isinstance(piece, ImagePiece):
        return f"[{piece.name}]×{piece.num_tokens}"
    if piece.part > 1:
        return "‹"
    return visible(piece.text) or "∅"


def shortened(pieces: Sequence[Piece]) -> Iterator[Piece | Gap]:
    """Yield a row's tokens without the middle of its long stretches, and without what is too much altogether."""
    shown = passed = 0
    for item in _without_middles(pieces):
        if isinstance(item, Gap):
            passed += item.num_tokens
        elif shown == SHOWN_TOKENS:
            yield Gap(sum(piece.num_tokens for piece in pieces) - passed, None)
            return
        else:
            shown, passed = shown + 1, passed + item.num_tokens
        yield item


def _without_middles(pieces: Sequence[Piece]) -> Iterator[Piece | Gap]:
    for kind, group in itertools.groupby(pieces, key=lambda piece: piece.kind):
        run = list(group)
        if len(run) <= RUN_TOKENS:
            yield from run
            continue
        half = RUN_TOKENS // 2
        yield from run[:half]
        yield Gap(sum(piece.num_tokens for piece in run[half:-half]), kind)
        yield from run[-half:]


def _sign(character: str) -> str:
    if character in SIGNS:
        return SIGNS[character]
    if unicodedata.category(character) in _INVISIBLE and character != "\u200d":
        return f"U+{ord(character):04X}"
    return character
