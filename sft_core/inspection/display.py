"""Display of tokens on a page and in a terminal: whitespace becomes visible, long runs are shortened."""

import itertools
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sft_core.inspection.pieces import ImagePiece, Kind, Piece

RUN_TOKENS = 120
"""Number of tokens shown of a run of one kind. A longer run is shown by the first and last half of this number."""
SHOWN_TOKENS = 480
"""Maximum number of pieces shown of a row."""
SIGNS = {" ": "·", "\n": "↵", "\t": "→", "\r": "␍"}
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"})


@dataclass(frozen=True, slots=True)
class Gap:
    """Tokens that are not shown."""

    num_tokens: int
    kind: Kind | None


def visible(text: str) -> str:
    """Replace invisible characters by visible ones: `a b⏎` becomes `a·b↵`, a zero-width space becomes `U+200B`."""
    return "".join(_sign(character) for character in text)


def harmless(text: str) -> str:
    """Replace the control characters that a terminal would interpret; keep all other text, newlines and tabs."""
    return "".join(
        _sign(character) if unicodedata.category(character) == "Cc" and character not in "\n\t" else character
        for character in text
    )


def label(piece: Piece) -> str:
    """Return the text shown for a token or an image.

    If a character is spread over several tokens, the first token shows the character and the others show `‹`. An image
    shows its size, the beginning of its digest, and its number of tokens.
    """
    if isinstance(piece, ImagePiece):
        return f"[{piece.name}]×{piece.num_tokens}"
    if piece.part > 1:
        return "‹"
    return visible(piece.text) or "∅"


def shortened(pieces: Sequence[Piece]) -> Iterator[Piece | Gap]:
    """Yield a row's tokens, with a `Gap` for the middle of each long run and for all tokens after `SHOWN_TOKENS`."""
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
