"""Truncation of prompts with images, which keeps or removes all tokens of an image."""

from dataclasses import dataclass

from sft_core.pretrained.image_places import ImageReader
from sft_core.store.image_store import ImageRef


@dataclass(frozen=True, slots=True)
class Asked:
    """Prompt as the model gets it, possibly truncated."""

    ids: list[int]
    images: list[ImageRef]


def cut_left(reader: ImageReader, asked: Asked, num_tokens: int) -> Asked:
    """Remove at least `num_tokens` tokens on the left, and the images that they belong to.

    With some models the tokens of an image depend on the other images of the row. If the remaining images would need
    other tokens than those in the prompt, more images are removed.
    """
    places = reader.places(asked.ids, asked.images)
    num_lost = sum(place.start < num_tokens for place in places)
    while reader.written(asked.images[num_lost:]) != reader.written(asked.images)[num_lost:]:
        num_lost += 1
    start = max([num_tokens, *(place.stop for place in places[:num_lost])])
    return Asked(asked.ids[start:], asked.images[num_lost:])
