"""Held-out prompts, read from a table with the schema `PROMPTS`."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from sft_core.errors import RecipeError
from sft_core.pretrained.image_places import ImageReader
from sft_core.store.image_store import ImageRef, decode_images
from sft_core.store.records import PROMPTS
from sft_core.store.tables import read_table


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts with their reference answers; every list has one entry per prompt."""

    source: list[str]
    row: list[int]
    prompt_ids: list[list[int]]
    reference: list[str]
    metadata: list[dict[str, Any]]
    """The original rows of the source, whatever their columns."""
    images: list[list[ImageRef]]
    """Images of each prompt, in order; their placeholders in `prompt_ids` have been expanded."""

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def read(cls, path: Path, num_prompts: int) -> Self:
        """Read at most `num_prompts` prompts, spread evenly over the table."""
        table = read_table(path)
        chosen = np.unique(
            np.linspace(0, max(len(table) - 1, 0), min(num_prompts, len(table))).round().astype(np.int64)
        )
        columns = {name: table.take(chosen)[name].to_pylist() for name in PROMPTS.names}
        images = [decode_images(text) for text in columns["images"]]
        metadata = [json.loads(text) for text in columns["metadata"]]
        return cls(**{**columns, "metadata": metadata, "images": images})

    def metadata_columns(self) -> dict[str, list[Any]]:
        """Return each column that any of the rows has; a row without it has the value None."""
        names = dict.fromkeys(name for row in self.metadata for name in row)
        return {name: [row.get(name) for row in self.metadata] for name in names}


def excess(prompt_ids: list[list[int]], max_positions: int | None, max_new_tokens: int) -> list[int]:
    """Compute how many tokens to remove from each prompt, on the left as in trlX, so that prompt and answer fit.

    Args:
        prompt_ids: [prompts] token ids.
        max_positions: Number of positions of the model; None if it has no limit.
        max_new_tokens: Maximal number of tokens of an answer.

    Returns:
        [prompts] numbers of tokens, 0 for prompts that fit.

    Raises:
        RecipeError: if there is no room for any prompt.
    """
    if max_positions is None:
        return [0] * len(prompt_ids)
    if max_new_tokens >= max_positions:
        raise RecipeError(
            f"evaluation.gen_kwargs: max_new_tokens {max_new_tokens} leaves no room for a prompt in the model's "
            f"{max_positions} positions"
        )
    return [max(0, len(ids) - (max_positions - max_new_tokens)) for ids in prompt_ids]


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
