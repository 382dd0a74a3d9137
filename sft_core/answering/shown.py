"""Prompts with images: where each stands in the ids, and prompts cut so that an image is seen whole or not at all.

prompt    [ … <fake> <image> <image> <image> <fake> W h a t … ]
              └──────────── one image ───────────┘
a cut in the middle of it becomes a cut behind it, and the image is not shown
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sft_core.image_store import ImageRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from sft_core.processor import VisionProcessor


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """Which tokens of a prompt stand for one image, with those that the processor writes around it."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the model is asked it."""

    ids: list[int]
    images: list[ImageRef]


class ImageReader:
    """Finds images in ids, and names them in texts."""

    def __init__(self, vision: "VisionProcessor", tokenizer: "PreTrainedTokenizerBase") -> None:
        self._vision, self._tokenizer = vision, tokenizer
        names = [re.escape(str(name)) for name in tokenizer.convert_ids_to_tokens(list(vision.image_token_ids))]
        self._runs = re.compile("|".join(f"({name})(?:{name})+" for name in names))

    def places(self, ids: Sequence[int], images: Sequence[ImageRef]) -> list[ImagePlace]:
        """Tell where each image of a prompt stands."""
        if not images:
            return []
        at = [position for position, token in enumerate(ids) if token in self._vision.image_token_ids]
        places, passed = [], 0
        for text in self._written(images):
            expansion = self._tokenizer(text, add_special_tokens=False)["input_ids"]
            own = [number for number, token in enumerate(expansion) if token in self._vision.image_token_ids]
            first, last = at[passed], at[passed + len(own) - 1]
            places.append(ImagePlace(first - own[0], last + len(expansion) - own[-1]))
            passed += len(own)
        return places

    def cut(self, ids: list[int], images: list[ImageRef], num_tokens: int) -> Asked:
        """Take tokens away on the left, at least so many, and the images that were there.

        Some models show an image in other tokens when it is alone: where those that are left would need others than
        stand there, more of them are taken.
        """
        places = self.places(ids, images)
        num_lost = sum(place.start < num_tokens for place in places)
        while self._written(images[num_lost:]) != self._written(images)[num_lost:]:
            num_lost += 1
        start = max([num_tokens, *(place.stop for place in places[:num_lost])])
        return Asked(ids[start:], images[num_lost:])

    def _written(self, images: Sequence[ImageRef]) -> tuple[str, ...]:
        return self._vision.expansions([(image.height, image.width) for image in images]) if images else ()

    def named(self, ids: Sequence[int], images: Sequence[ImageRef]) -> list[dict[str, Any]]:
        """Name the images of a prompt: digest, width, height, and the tokens that each takes."""
        return [
            {"digest": image.digest, "width": image.width, "height": image.height, "tokens": place.stop - place.start}
            for image, place in zip(images, self.places(ids, images), strict=True)
        ]

    def compact(self, text: str) -> str:
        """Write `<image><image><image>` as `<image>×3`."""
        return self._runs.sub(_counted, text)


def _counted(run: re.Match[str]) -> str:
    name = next(filter(None, run.groups()))
    return f"{name}×{len(run[0]) // len(name)}"
