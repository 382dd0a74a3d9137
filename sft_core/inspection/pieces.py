"""Token ids as readable text: one piece per token; characters that are spread over several tokens are reassembled.

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
"""Role of a token: target of the loss, context only, or removed by truncation."""
BROKEN = "\ufffd"
LONGEST_CHARACTER_TOKENS = 8
"""Maximum number of tokens that share one character or a few: four bytes, and a merge across either edge."""


@dataclass(frozen=True, slots=True)
class TokenPiece:
    """One token with its text and role."""

    token_id: int
    text: str
    """Text of the token. If a character is spread over several tokens, each of them has the whole character."""
    kind: Kind
    is_special: bool
    part: int = 1
    parts: int = 1
    """This token is number `part`, counted from 1, of the `parts` tokens that make up `text`."""
    weight: float = 1.0
    """Weight in the loss."""

    @property
    def num_tokens(self) -> int:
        """Number of tokens, which is always 1."""
        return 1


def name_of(image: ImageRef) -> str:
    """Return the display name of an image: `image 640×480 3f9c02d1…`."""
    return f"image {image.width}×{image.height} {image.digest[:8]}…"


@dataclass(frozen=True, slots=True)
class ImagePiece:
    """All tokens of one image."""

    image: ImageRef
    num_tokens: int
    kind: Kind = "context"

    @property
    def name(self) -> str:
        """Display name of the image."""
        return name_of(self.image)


Piece = TokenPiece | ImagePiece


class TokenReader:
    """Decoder of token ids to pieces; the text of each id is cached."""

    def __init__(self, tokenizer: PlainTokenizer) -> None:
        self._tokenizer = tokenizer
        self._spelled: dict[int, str] = {}

    def read(self, ids: Sequence[int], kinds: Sequence[Kind], weights: Sequence[float] | None) -> list[TokenPiece]:
        """Decode a row to one piece per token.

        Args:
            ids: Token ids, shape [tokens].
            kinds: Role of each token, shape [tokens].
            weights: Weight of each token in the loss, shape [tokens]; None if all are 1.
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
        """Return text and length of the shortest prefix that decodes to whole characters, or of the first token."""
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
    """Replace the pieces of each image's tokens by one `ImagePiece`."""
    shown: list[Piece] = []
    behind = 0
    for image, place in zip(images, places, strict=True):
        shown += [*pieces[behind : place.start], ImagePiece(image, place.stop - place.start, pieces[place.start].kind)]
        behind = place.stop
    return [*shown, *pieces[behind:]]
