"""Token ids as people can read them: one piece a token, characters that are spread over several tokens put together.

ids     [ 64,   220,  9468,  247,   224 ]
pieces  [ "a",  " ",  "🙂" 1 of 3, 2 of 3, 3 of 3 ]
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from sft_core.pretrained.image_places import ImagePlace
from sft_core.pretrained.plain_tokenizer import PlainTokenizer
from sft_core.store.image_store import ImageRef

Kind = Literal["trained", "context", "cut"]
"""Whether the loss looks at a token, only the model does, or truncation took it away."""
BROKEN = "\ufffd"
LONGEST_CHARACTER_TOKENS = 8
"""Tokens that may share one character or a short run of them: four bytes, and a merge over either edge."""


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """One token."""

    token_id: int
    text: str
    """Of a character that needs several tokens, all of it, in each of them."""
    kind: Kind
    is_special: bool
    part: int = 1
    parts: int = 1
    """This is the `part`-th of `parts` tokens that make up `text`."""
    weight: float = 1.0

    @property
    def num_tokens(self) -> int:
        """It is one."""
        return 1


def name_of(image: ImageRef) -> str:
    """An image as people read it: `image 640×480 3f9c02d1…`."""
    return f"image {image.width}×{image.height} {image.digest[:8]}…"


@dataclass(frozen=True, slots=True)
class ImagePiece:
    """All tokens of one image."""

    image: ImageRef
    num_tokens: int
    kind: Kind = "context"

    @property
    def name(self) -> str:
        """As people read it."""
        return name_of(self.image)


Piece = TokenPiece | ImagePiece


class TokenReader:
    """Spells token ids, each once per reader."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        self._tokenizer = tokenizer
        self._spelled: dict[int, str] = {}

    def read(self, ids: Sequence[int], kinds: Sequence[Kind], weights: Sequence[float] | None) -> list[TokenPiece]:
        """Spell a row.

        Args:
            ids: [tokens]
            kinds: [tokens]
            weights: [tokens] of the loss; None where all are 1.
        """
        spelled = self._spell(ids)
        loss_weights = [1.0] * len(ids) if weights is None else list(weights)
        return [
            TokenPiece(token, text, kind, token in self._tokenizer.special_ids, part, parts, weight)
            for token, (text, part, parts), kind, weight in zip(ids, spelled, kinds, loss_weights, strict=True)
        ]

    def _spell(self, ids: Sequence[int]) -> Iterator[tuple[str, int, int]]:
        """Yield (text, part, parts) for each token."""
        start = 0
        while start < len(ids):
            text, parts = self._next(ids[start : start + LONGEST_CHARACTER_TOKENS])
            yield from ((text, part, parts) for part in range(1, parts + 1))
            start += parts

    def _next(self, ids: Sequence[int]) -> tuple[str, int]:
        """The shortest run of tokens from the start that is whole characters; one token, if there is none."""
        text = self._one(ids[0])
        if BROKEN not in text:
            return text, 1
        for stop in range(2, len(ids) + 1):
            together = self._tokenizer.decode(list(ids[:stop]))
            if BROKEN not in together:
                return together, stop
        return text, 1

    def _one(self, token: int) -> str:
        if token not in self._spelled:
            text = self._tokenizer.decode([token])
            name = self._tokenizer.name_of(token)
            # SentencePiece's decoders drop the space in front of a first word
            is_bare = name.startswith("▁") and not text.startswith(" ")
            self._spelled[token] = f" {text}" if is_bare else text
        return self._spelled[token]


def with_images(pieces: Sequence[TokenPiece], images: Sequence[ImageRef], places: Sequence[ImagePlace]) -> list[Piece]:
    """Put one piece in the place of each image's tokens."""
    shown: list[Piece] = []
    behind = 0
    for image, place in zip(images, places, strict=True):
        shown += [*pieces[behind : place.start], ImagePiece(image, place.stop - place.start, pieces[place.start].kind)]
        behind = place.stop
    return [*shown, *pieces[behind:]]
