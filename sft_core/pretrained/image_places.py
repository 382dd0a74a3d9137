"""The positions of images in the token ids of a row, and the number of tokens of each image.

row       [ … <fake> <image> <image> <image> <fake> W h a t … ]
              └──────────── one image ───────────┘
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sft_core.errors import DataError
from sft_core.store.image_store import ImageRef

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from sft_core.pretrained.processor import VisionProcessor


@dataclass(frozen=True, slots=True)
class ImagePlace:
    """Range [start, stop) of the tokens of one image in a row, with the tokens that the processor writes around it."""

    start: int
    stop: int


class ImageReader:
    """Finder of images in token ids, which also describes them for people."""

    def __init__(self, vision: "VisionProcessor", tokenizer: "PreTrainedTokenizerBase") -> None:
        self._vision, self._tokenizer = vision, tokenizer
        names = [re.escape(str(name)) for name in tokenizer.convert_ids_to_tokens(list(vision.image_token_ids))]
        self._runs = re.compile("|".join(f"({name})(?:{name})+" for name in names))

    def places(self, ids: Sequence[int], images: Sequence[ImageRef]) -> list[ImagePlace]:
        """Return the range of tokens of each image of a row.

        Raises:
            DataError: if `ids` has another number of image tokens than the processor writes for these images.
        """
        at = [position for position, token in enumerate(ids) if token in self._vision.image_token_ids]
        expansions = [self._tokenizer(text, add_special_tokens=False)["input_ids"] for text in self.written(images)]
        places, passed = [], 0
        for expansion in expansions:
            own = [number for number, token in enumerate(expansion) if token in self._vision.image_token_ids]
            if passed + len(own) > len(at):
                raise DataError(f"expected the tokens of {len(images)} images, found {len(at)} of images")
            first, last = at[passed], at[passed + len(own) - 1]
            places.append(ImagePlace(first - own[0], last + len(expansion) - own[-1]))
            passed += len(own)
        if passed != len(at):
            raise DataError(f"expected {passed} tokens of {len(images)} images, found {len(at)}")
        return places

    def written(self, images: Sequence[ImageRef]) -> tuple[str, ...]:
        """Return the text that the processor writes for each image, given all images of a row."""
        return self._vision.expansions([(image.height, image.width) for image in images]) if images else ()

    def token_counts(self, images: Sequence[ImageRef]) -> list[int]:
        """Return the number of tokens of each image of a row."""
        return [len(self._tokenizer(text, add_special_tokens=False)["input_ids"]) for text in self.written(images)]

    def named(self, ids: Sequence[int], images: Sequence[ImageRef]) -> list[dict[str, Any]]:
        """Describe the images of a row: digest, width, height [pixels], and the number of tokens of each."""
        return [
            {"digest": image.digest, "width": image.width, "height": image.height, "tokens": place.stop - place.start}
            for image, place in zip(images, self.places(ids, images), strict=True)
        ]

    def compact(self, text: str) -> str:
        """Shorten runs of image tokens in a text: write `<image><image><image>` as `<image>×3`."""
        return self._runs.sub(_counted, text)


def _counted(run: re.Match[str]) -> str:
    name = next(filter(None, run.groups()))
    return f"{name}×{len(run[0]) // len(name)}"
