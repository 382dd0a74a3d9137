"""Inputs of a vision-language model for the images of a batch: pixels, and token types that mark their positions.

documents    [[cat.jpg, dog.jpg], [], [car.jpg]]        images of a batch, in the order of its tokens
inputs       pixel_values, image_grid_thw, …             for the first and the third document
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sft_core.errors import DataError
from sft_core.pretrained.processor import ProcessorRef, VisionProcessor, load_processor
from sft_core.store.image_store import ImageRef, ImageStore


@dataclass(frozen=True, slots=True)
class PixelMaker:
    """Maker of pixels. It can be pickled, and loads the image processor in the process that calls it."""

    processor: ProcessorRef
    images_folder: Path

    @classmethod
    def of(cls, processor: ProcessorRef | None, images_folder: Path | None) -> "PixelMaker | None":
        """Return a maker of pixels; None unless both arguments are given."""
        return None if processor is None or images_folder is None else cls(processor, images_folder)

    def inputs(self, documents: Sequence[Sequence[ImageRef]], input_ids: Tensor) -> dict[str, Tensor]:
        """Return the model's inputs for images. For a batch without images, these are only the token types.

        Args:
            documents: The images of each document of the batch, in the order of their tokens.
            input_ids: [rows, tokens] token ids.

        Raises:
            DataError: if an image is not in the store, or its number of tokens has changed since the data was prepared.
        """
        vision = load_processor(self.processor)
        is_image = torch.isin(input_ids, torch.tensor(vision.image_token_ids))
        inputs = {name: is_image.to(input_ids.dtype) for name in vision.token_types}
        shown = [images for images in documents if images]
        if not shown:
            _check_tokens(0, is_image, shown)
            return inputs
        pixels = vision.pixels([[self._open(image) for image in images] for images in shown])
        _check_tokens(sum(pixels.num_image_tokens), is_image, shown)
        return {**inputs, **pixels.inputs}

    def vision(self) -> VisionProcessor:
        """Load and return the image processor."""
        return load_processor(self.processor)

    def _open(self, image: ImageRef) -> Any:
        try:
            return ImageStore(self.images_folder).open(image.digest)
        except OSError as error:
            raise DataError(
                f"{self.images_folder}: expected an image {image.digest} that the data was prepared with, found "
                f"{type(error).__name__}; prepare the data again"
            ) from error


def _check_tokens(num_expected: int, is_image: Tensor, shown: Sequence[Sequence[ImageRef]]) -> None:
    num_found = int(is_image.sum())
    if num_found != num_expected:
        digests = ", ".join(image.digest for images in shown for image in images) or "none"
        raise DataError(
            f"images {digests} take {num_expected} tokens, but the data was prepared with {num_found}: the image "
            "processor has changed; prepare the data again"
        )
