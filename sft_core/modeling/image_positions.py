"""Position ids of models that place image tokens on a grid (Qwen's family, M-RoPE): three numbers per token.

    tokens    a b c c c c d e        c: an image of 2 × 2
    time      0 1 2 2 2 2 4 5
    height    0 1 2 2 3 3 4 5
    width     0 1 2 3 2 3 4 5

Such a model computes them itself for rows of one document. For documents that share a row, they are computed document
by document with the model's own method and joined, below a first line of positions that restart with every document,
by which the model separates the documents.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sft_core.pretrained.processor import TOKEN_TYPES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GRIDS = "image_grid_thw"
"""Name of the input [images, 3]: patches of each image in time, height and width."""
NUM_AXES = 3


@dataclass(frozen=True, slots=True)
class ImagePositions:
    """Computation of positions with the method of a model's class. It can be pickled without the model's weights."""

    model_class: Any
    config: Any

    @classmethod
    def of(cls, model: "PreTrainedModel") -> "ImagePositions | None":
        """Return the computation for a model; None for models with one position per token."""
        body: Any = model.base_model
        find = getattr(body, "get_rope_index", None)
        if find is None or GRIDS not in inspect.signature(find).parameters:
            return None
        return cls(type(body), body.config)

    def of_rows(
        self, batch: Mapping[str, Any], lengths: Sequence[Sequence[int]], num_images: Sequence[Sequence[int]]
    ) -> Tensor:
        """Return the positions of rows that hold several documents.

        Args:
            batch: `input_ids` and token types, each [rows, tokens], and grids [images, 3] if it has images.
            lengths: [rows] of [documents]: number of tokens of each document; they fill the row.
            num_images: [rows] of [documents]: number of images of each document; padding at the end has none.

        Returns:
            [1 + axes, rows, tokens] int64.
        """
        types = [name for name in TOKEN_TYPES if name in batch]
        grids, rows = iter(batch.get(GRIDS, ())), []
        for number, (of_row, counts) in enumerate(zip(lengths, num_images, strict=True)):
            tokens = [torch.split(batch[name][number], [int(length) for length in of_row]) for name in types]
            ids = torch.split(batch["input_ids"][number], [int(length) for length in of_row])
            documents = [
                self._of_document(document, list(islice(grids, count)), dict(zip(types, own, strict=True)))
                for document, count, *own in zip(ids, chain(counts, repeat(0)), *tokens)  # noqa: B905
            ]
            rows.append(torch.cat(documents, dim=1))
        return torch.stack(rows, dim=1)

    def _of_document(self, ids: Tensor, grids: list[Tensor], types: Mapping[str, Tensor]) -> Tensor:
        """Return the positions [1 + axes, tokens] of one document."""
        line = torch.arange(len(ids)).expand(1, -1)
        if not grids:
            return line.expand(1 + NUM_AXES, -1)
        body: Any = self.model_class.__new__(self.model_class)
        nn.Module.__init__(body)
        body.config = self.config
        more = {name: part[None] for name, part in types.items()}
        positions, _ = body.get_rope_index(ids[None], **{GRIDS: torch.stack(grids)}, **more)
        return torch.cat([line, positions[:, 0]])
