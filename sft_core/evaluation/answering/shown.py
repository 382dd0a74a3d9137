"""Prompts with images, cut so that an image is seen whole or not at all."""

from dataclasses import dataclass

from sft_core.pretrained.image_places import ImageReader
from sft_core.store.image_store import ImageRef


@dataclass(frozen=True, slots=True)
class Asked:
    """A prompt as the model is asked it."""

    ids: list[int]
    images: list[ImageRef]


def cut_left(reader: ImageReader, asked: Asked, num_tokens: int) -> Asked:
    """Take tokens away on the left, at least so many, and the images that were there.

    Some models show an image in other tokens when it is alone: where those that are left would need others than stand
    there, more of them are taken.
    """
    places = reader.places(asked.ids, asked.images)
    num_lost = sum(place.start < num_tokens for place in places)
    while reader.written(asked.images[num_lost:]) != reader.written(asked.images)[num_lost:]:
        num_lost += 1
    start = max([num_tokens, *(place.stop for place in places[:num_lost])])
    return Asked(asked.ids[start:], asked.images[num_lost:])
