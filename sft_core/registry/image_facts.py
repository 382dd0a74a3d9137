"""Statistics of the images a model was trained on: their number, the most per row, and their tokens."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from sft_core.pretrained.image_places import ImageReader
from sft_core.pretrained.processor import ProcessorRef, load_processor
from sft_core.pretrained.tokenizer import load_tokenizer
from sft_core.store.image_store import ImageRef

ROWS_ASKED = 200
"""Number of evenly spaced rows whose images' tokens are counted. A processor takes milliseconds for each new size."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Statistics of the images of a data set."""

    num_images: int
    """Number of distinct images; 0 for a data set without images."""
    most_a_row: int
    """Maximum number of images of a row."""
    least_tokens: int
    """Minimum number of tokens of an image, among the sampled rows."""
    most_tokens: int
    """Maximum number of tokens of an image, among the sampled rows."""


def image_facts(split: Path, processor: ProcessorRef) -> ImageFacts:
    """Compute the statistics from the blocks of a split.

    Args:
        split: Folder of the split.
        processor: Processor of the model.
    """
    from datasets import load_from_disk

    table = load_from_disk(str(split)).data
    column = table.column("images").to_pylist() if "images" in table.column_names else []
    rows = [images for block in column if block for images in orjson.loads(block) if images]
    if not rows:
        return ImageFacts(0, 0, 0, 0)
    reader = ImageReader(load_processor(processor), load_tokenizer(processor.tokenizer))
    asked = np.unique(np.linspace(0, len(rows) - 1, ROWS_ASKED).round().astype(int)).tolist()
    tokens = [count for row in asked for count in reader.token_counts([ImageRef(**image) for image in rows[row]])]
    return ImageFacts(
        num_images=len({image["digest"] for images in rows for image in images}),
        most_a_row=max(map(len, rows)),
        least_tokens=min(tokens),
        most_tokens=max(tokens),
    )
