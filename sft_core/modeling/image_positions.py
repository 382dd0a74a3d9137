"""Positions of models that give an image's tokens places in an image (Qwen's family): three numbers a token.

    tokens    a b c c c c d e        c: an image of 2 × 2
    time      0 1 2 2 2 2 4 5
    height    0 1 2 2 3 3 4 5
    width     0 1 2 3 2 3 4 5

Such a model finds them itself for rows of one document. For documents that share a row it is asked one by one, and gets
the answers together, with a first line of positions that restart with every document, by which it tells them apart.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sft_core.processor import TOKEN_TYPES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GRIDS = "image_grid_thw"
"""[images, 3] patches of each in time, height and width."""
NUM_AXES = 3


@dataclass(frozen=True, slots=True)
class ImagePositions:
    """Asks a model's class for positions; it is sent to other processes without the model's weights."""

    model_class: type
    config: Any

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "ImagePositions | None":
        """None for models whose positions are one number a token."""
        body: Any = model.base_model
        find = getattr(body, "get_rope_index", None)
        if find is None or GRIDS not in inspect.signature(find).parameters:
            return None
        return cls(type(body), body.config)

    def of_rows(
        self, inputs: Mapping[str, Tensor], lengths: Sequence[Sequence[int]], num_images: Sequence[Sequence[int]]
    ) -> Tensor:
        """Find the positions of a batch.

        Args:
            inputs: `input_ids` and token types, each [rows, tokens], and grids [images, 3] where there are images.
            lengths: [rows][documents] tokens of each; they fill the row.
            num_images: [rows][documents] images of each.

        Returns:
            [1 + axes, rows, tokens] int64.
        """
        body, names = self._body(), ("input_ids", *(name for name in TOKEN_TYPES if name in inputs))
        per_document = [count for of_row in num_images for count in of_row]
        no_grids = [torch.zeros(0, NUM_AXES)] * len(per_document)
        grids = iter(torch.split(inputs[GRIDS], per_document) if GRIDS in inputs else no_grids)
        rows = []
        for number, of_row in enumerate(lengths):
            parts = zip(*(torch.split(inputs[name][number], list(of_row)) for name in names), strict=True)
            found = [_of_document(body, dict(zip(names, own, strict=True)), next(grids)) for own in parts]
            rows.append(torch.cat(found, dim=1))
        return torch.stack(rows, dim=1)

    def _body(self) -> Any:
        """The model without its weights: what is asked needs the configuration alone."""
        body: Any = object.__new__(self.model_class)
        nn.Module.__init__(body)
        body.config = self.config
        return body


def _of_document(body: Any, inputs: Mapping[str, Tensor], grid: Tensor) -> Tensor:
    """[1 + axes, tokens] of one document, of its ids and token types [tokens]."""
    line = torch.arange(len(inputs["input_ids"]))[None]
    if not len(grid):
        return line.expand(1 + NUM_AXES, -1)
    positions, _ = body.get_rope_index(image_grid_thw=grid, **{name: part[None] for name, part in inputs.items()})
    return torch.cat([line, positions[:, 0]])
