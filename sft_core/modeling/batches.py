"""Collation of blocks to batches, in one of two layouts. Position ids separate the documents of a row.

    block          [a a a a b b b]     seq_lengths [4, 3], padded to 8
    input_ids      [a a a a b b b p]
    position_ids   [0 1 2 3 0 1 2 0]   restart with every document; padding counts as a document
    labels         [- . . . - . . -]   the first token of a document is no target

Padded: one row per block. transformers builds a block-diagonal causal mask from positions that restart, provided that
there is no attention mask and no cache. Rows of one document need no mask at all: padding comes after them, and a
causal model does not attend to later tokens.

Padding-free: all documents of the batch are in one row [1, tokens], with the offsets at which they begin. This is for
variable-length attention, which needs neither padding nor masks:

    blocks         [a a a a b b b], [c c]
    position_ids   [0 1 2 3 0 1 2 0 1]
    cu_seq_lens    [0 4 7 9], longest document: 4

A vision-language model also gets the pixels of the documents' images, in the order of the documents' tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import torch
from torch.utils.data import Dataset

from sft_core.modeling.image_positions import ImagePositions
from sft_core.modeling.pixels import PixelMaker
from sft_core.modeling.segments import Segments
from sft_core.store.image_store import ImageRef
from sft_core.store.ragged import offsets_of, positions_of
from sft_core.store.records import IGNORED_LABEL

Block = dict[str, Any]
Batch = dict[str, Any]

NO_BLOCK = -1
"""Index that a process uses when it has run out of blocks before the others; yields a block of no tokens."""

NOT_FOR_THE_MODEL = ("labels", "loss_weights", "segments", "num_tokens", "num_pairs")
"""Names in a batch that are for the loss and the counts, and not inputs of the model."""


class Blocks(Dataset[Block]):
    """Blocks of one split, read from memory-mapped Arrow files."""

    def __init__(self, folder: Path, source_of_shard: Sequence[str] = ()) -> None:
        """Open a split.

        Args:
            folder: `…/train` or `…/eval`. `<split>-segments.arrow` is next to it, if the rows of blocks are known.
            source_of_shard: [shards] source of each shard, in the order of the shard numbers in SEGMENTS.
        """
        from datasets import load_from_disk

        self._table = load_from_disk(str(folder)).with_format("numpy")
        path = folder.parent / f"{folder.name}-segments.arrow"
        self.segments = Segments(path, source_of_shard) if path.exists() else None

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Block:
        """Return one block: `input_ids` [tokens], `seq_lengths` [documents], `labels` [tokens], `loss_weights` [tokens]
        if the data has weights, the block's number `block`, `segment_tokens` and `segment_source` [segments] if the
        rows are known, and `images`, a list of `ImageRef` for each document. With `NO_BLOCK` all are empty."""
        if index == NO_BLOCK:
            columns = {*self._table.column_names, "labels"} - {"loss_mask", "images"}
            return {**{name: np.zeros(0, np.int64) for name in columns}, "images": []}
        block = self._table[int(index)]
        block["images"] = _images_of(block.get("images"), len(block["seq_lengths"]))
        block["input_ids"] = block["input_ids"].astype(np.int64)  # small vocabularies are stored in 16 bits
        if "loss_mask" in block:
            block["labels"] = np.where(block.pop("loss_mask") == 1, block["input_ids"], IGNORED_LABEL)
        block["block"] = int(index)
        if self.segments is not None:
            block["segment_tokens"], block["segment_source"] = self.segments.of_block(int(index))
        return dict(block)

    def lengths(self) -> list[int]:
        """Return the number of tokens of every block."""
        import pyarrow.compute as pc

        tokens: list[int] = pc.list_value_length(self._table.data.column("input_ids")).to_pylist()
        return tokens

    def seq_lengths(self) -> list[list[int]]:
        """Return the number of tokens of every document of every block."""
        tokens: list[list[int]] = self._table.data.column("seq_lengths").to_pylist()
        return tokens

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, which `segment_source` indexes; empty if they are not known."""
        return self.segments.sources if self.segments else ()

    @property
    def has_images(self) -> bool:
        """True if the blocks have a column of images."""
        return "images" in self._table.column_names

    @property
    def is_packed(self) -> bool:
        """True if any block has more than one document."""
        import pyarrow.compute as pc

        longest = pc.max(pc.list_value_length(self._table.data.column("seq_lengths"))).as_py()
        return longest is not None and longest > 1


class Documents(Dataset[Block]):
    """Documents of all blocks in order, each as a block of its own."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._places = [
            (block, place, *ends)
            for block, lengths in enumerate(blocks.seq_lengths())
            for place, ends in enumerate(pairwise(accumulate(lengths, initial=0)))
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Block:
        """Return one document: `input_ids`, `labels` and, if the data has them, `loss_weights`, each [tokens]; its
        length `seq_lengths` [1]; its `images` [1]; the number `block` of its block; and, if known, `segment_tokens` and
        `segment_source` of its segments."""
        number, place, start, end = self._places[index]
        block = self._blocks[number]
        columns: Block = {
            name: block[name][start:end] for name in ("input_ids", "labels", "loss_weights") if name in block
        }
        if "segment_tokens" in block:  # no segment belongs to two documents
            first, stop = np.searchsorted(np.cumsum(block["segment_tokens"]), [start, end], side="right")
            columns |= {name: block[name][first:stop] for name in ("segment_tokens", "segment_source")}
        images = [block["images"][place]]
        return {**columns, "seq_lengths": np.array([end - start]), "images": images, "block": number}


def _images_of(written: str | None, num_documents: int) -> list[list[ImageRef]]:
    if written is None:
        return [[] for _ in range(num_documents)]
    return [[ImageRef(**fields) for fields in images] for images in orjson.loads(str(written))]


@dataclass(frozen=True, slots=True)
class Collator:
    """Collator that makes a batch of blocks.

    Inputs of the model are `input_ids` and `position_ids`, each [rows, tokens] int64. Padding-free batches also have
    `cu_seq_lens_q` and `cu_seq_lens_k` [documents + 1] int32, and the numbers `max_length_q` and `max_length_k`. With
    `pixels`, its inputs for the documents' images are added. With `image_positions`, `position_ids` are [4, rows,
    tokens] if documents share a row; if none do, the model computes them itself.

    For the loss, a batch has `labels` [rows, tokens] int64, and `loss_weights` [rows, tokens] float32 if the data has
    weights.

    For the counts, it has `num_tokens` [blocks], tokens without padding; `num_pairs` [blocks], pairs of tokens of which
    one attends to the other; and `segments` with `block`, `source` and `num_targets`, each [segments] in the order of
    the targets.
    """

    pad_token_id: int
    padding_free: bool = False
    has_positions: bool = True
    """True if the model takes `position_ids`."""
    pixels: PixelMaker | None = None
    """Maker of pixels for a vision-language model; None for a text model."""
    image_positions: ImagePositions | None = None
    """Computation of positions for a model with more than one position per token; None for other models."""

    def __call__(self, blocks: Sequence[Block]) -> Batch:
        """Return the batch of [blocks]; without any token it is a batch of one token of padding."""
        columns: dict[str, tuple[int, type[np.generic]]] = {
            "input_ids": (self.pad_token_id, np.int64),
            "labels": (IGNORED_LABEL, np.int64),
        }
        if "loss_weights" in blocks[0]:
            columns["loss_weights"] = (0, np.float32)
        targets = [_own_targets(block) for block in blocks]
        rows = [{**block, "labels": labels} for block, labels in zip(blocks, targets, strict=True)]
        if self.padding_free:
            rows = [{name: np.concatenate([row[name] for row in rows]) for name in (*columns, "seq_lengths")}]
        width = max(1, *(len(row["input_ids"]) for row in rows))
        batch: Batch = {
            name: torch.from_numpy(np.stack([_padded(row[name], width, *column) for row in rows]))
            for name, column in columns.items()
        }
        lengths = [_with_padding(row["seq_lengths"], width) for row in rows]
        images = [_images_in(block) for block in blocks]
        if self.pixels is not None:
            batch |= self.pixels.inputs(list(chain.from_iterable(images)), batch["input_ids"])
        if self.has_positions:
            is_packed = self.padding_free or any(len(block["seq_lengths"]) > 1 for block in blocks)
            of_rows = [list(chain.from_iterable(images))] if self.padding_free else images
            batch |= self._positions(batch, lengths, of_rows, is_packed)
        if self.padding_free:
            batch |= _offsets(lengths[0])
        return {**batch, **_counts(blocks, targets)}

    def _positions(
        self, batch: Batch, lengths: Sequence[Any], images: Sequence[list[list[ImageRef]]], is_packed: bool
    ) -> Batch:
        """Return `position_ids` for rows whose documents have the given lengths and images."""
        if self.image_positions is None:
            width = batch["input_ids"].shape[1]
            rows = [positions_of(0, of_row) if is_packed else np.arange(width) for of_row in lengths]
            return {"position_ids": torch.from_numpy(np.stack(rows))}
        if not is_packed:
            return {}
        num_images = [[len(of_document) for of_document in of_row] for of_row in images]
        return {"position_ids": self.image_positions.of_rows(batch, lengths, num_images)}


def _images_in(block: Block) -> list[list[ImageRef]]:
    """Return the images of each document; a block without the column `images` has none."""
    images: list[list[ImageRef]] = block.get("images") or [[] for _ in block["seq_lengths"]]
    return images


def _padded(values: Any, width: int, fill: int, dtype: type[np.generic]) -> Any:
    return np.concatenate([values, np.full(width - len(values), fill)]).astype(dtype)


def _with_padding(seq_lengths: Any, width: int) -> Any:
    """Return the lengths of a row's documents; padding is added as one more document."""
    padding = width - int(np.sum(seq_lengths))
    return np.array([*seq_lengths, *([padding] if padding else [])], np.int64)


def _offsets(lengths: Any) -> Batch:
    """Return the inputs of variable-length kernels: offsets [documents + 1] int32, and the longest document."""
    offsets = torch.from_numpy(offsets_of(lengths).astype(np.int32))
    longest = int(lengths.max())
    return {"cu_seq_lens_q": offsets, "cu_seq_lens_k": offsets, "max_length_q": longest, "max_length_k": longest}


def _own_targets(block: Block) -> Any:
    labels = np.array(block["labels"], dtype=np.int64)
    labels[offsets_of(block["seq_lengths"])[:-1]] = IGNORED_LABEL
    return labels


def _counts(blocks: Sequence[Block], targets: Sequence[Any]) -> Batch:
    lengths = [np.asarray(block["seq_lengths"], np.int64) for block in blocks]
    segments: dict[str, list[Any]] = {"block": [], "source": [], "num_targets": []}
    for block, labels in zip(blocks, targets, strict=True):
        tokens = np.asarray(block.get("segment_tokens", block["seq_lengths"]), np.int64)
        counted = offsets_of(labels != IGNORED_LABEL)
        segments["num_targets"].append(np.diff(counted[offsets_of(tokens)]))
        segments["source"].append(block.get("segment_source", np.zeros(len(tokens))))
        segments["block"].append(np.full(len(tokens), block.get("block", -1)))
    return {
        "num_tokens": torch.tensor([len(block["input_ids"]) for block in blocks]),
        "num_pairs": torch.tensor([int((of_block * (of_block + 1) // 2).sum()) for of_block in lengths]),
        "segments": {
            name: torch.from_numpy(np.concatenate(values).astype(np.int64)) for name, values in segments.items()
        },
    }
