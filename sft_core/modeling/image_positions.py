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
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sft_core.pretrained.processor import TOKEN_TYPES

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GRIDS = "image_grid_thw"
"""[images, 3] patches of each in time, height and width."""
NUM_AXES = 3


@dataclass(frozen=True, slots=True)
class ImagePositions:
    """Asks a model's class for positions; it is sent to other processes without the model's weights."""

    model_class: Any
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
        self, batch: Mapping[str, Any], lengths: Sequence[Sequence[int]], num_images: Sequence[Sequence[int]]
    ) -> Tensor:
        """Find the positions of rows whose documents share them.

        Args:
            batch: `input_ids` and token types, each [rows, tokens], and grids [images, 3] where it has images.
            lengths: [rows] of [documents] tokens of each; they fill the row.
            num_images: [rows] of [documents] images of each; padding, behind them, has none.

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
        """[1 + axes, tokens]"""
        line = torch.arange(len(ids)).expand(1, -1)
        if not grids:
            return line.expand(1 + NUM_AXES, -1)
        body: Any = self.model_class.__new__(self.model_class)
        nn.Module.__init__(body)
        body.config = self.config
        more = {name: part[None] for name, part in types.items()}
        positions, _ = body.get_rope_index(ids[None], **{GRIDS: torch.stack(grids)}, **more)
        return torch.cat([line, positions[:, 0]])
