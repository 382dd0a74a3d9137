"""Held-out prompts, as `PROMPTS` has them."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from sft_core.errors import RecipeError
from sft_core.store.image_store import ImageRef, decode_images
from sft_core.store.records import PROMPTS
from sft_core.store.tables import read_table


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts with the answers to compare with; every list has one entry a prompt."""

    source: list[str]
    row: list[int]
    prompt_ids: list[list[int]]
    reference: list[str]
    metadata: list[dict[str, Any]]
    """The row as it stands in its source, whatever its columns."""
    images: list[list[ImageRef]]
    """In order; what stands for them in `prompt_ids` has been expanded."""

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def read(cls, path: Path, num_prompts: int) -> Self:
        """Read at most `num_prompts`, spread evenly."""
        table = read_table(path)
        chosen = np.unique(
            np.linspace(0, max(len(table) - 1, 0), min(num_prompts, len(table))).round().astype(np.int64)
        )
        columns = {name: table.take(chosen)[name].to_pylist() for name in PROMPTS.names}
        images = [decode_images(text) for text in columns["images"]]
        metadata = [json.loads(text) for text in columns["metadata"]]
        return cls(**{**columns, "metadata": metadata, "images": images})

    def metadata_columns(self) -> dict[str, list[Any]]:
        """Each column that any of the rows has; None where a row lacks it."""
        names = dict.fromkeys(name for row in self.metadata for name in row)
        return {name: [row.get(name) for row in self.metadata] for name in names}


def excess(prompt_ids: list[list[int]], max_positions: int | None, max_new_tokens: int) -> list[int]:
    """Tell how many tokens prompts are cut by on the left, as trlX does, so that prompt and answer fit into the model's
    positions.

    Args:
        prompt_ids: [prompts] token ids.
        max_positions: Of the model; None: it has no limit.
        max_new_tokens: That an answer may have.

    Raises:
        RecipeError: if no prompt would fit.
    """
    if max_positions is None:
        return [0] * len(prompt_ids)
    if max_new_tokens >= max_positions:
        raise RecipeError(
            f"evaluation.gen_kwargs: max_new_tokens {max_new_tokens} leaves no room for a prompt in the model's "
            f"{max_positions} positions"
        )
    return [max(0, len(ids) - (max_positions - max_new_tokens)) for ids in prompt_ids]
