"""From blocks to tensors, in one of two layouts; documents in a row are told apart by their positions.

    block          [a a a a b b b]     seq_lengths [4, 3], padded to 8
    input_ids      [a a a a b b b p]
    position_ids   [0 1 2 3 0 1 2 0]   restart with every document; the padding is a document of its own
    labels         [- . . . - . . -]   nothing of a document predicts its first token: no target

Padded: one row a block. transformers builds a block-diagonal causal mask from positions that restart, provided that
there is no attention mask and no cache. Rows of one document need no mask at all: padding follows them, and a causal
model does not look ahead.

Padding-free: all documents of the batch in one row [1, tokens], with the offsets at which they begin. For attention of
variable length, which needs neither padding nor masks:

    blocks         [a a a a b b b], [c c]
    position_ids   [0 1 2 3 0 1 2 0 1]
    cu_seq_lens    [0 4 7 9], the longest is 4

Of documents with images, a model of images gets their pixels as well, in the order of the documents' tokens.
"""

from collections.abc import Iterator, Sequence
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
from sft_core.store.records import IGNORED_LABEL

Block = dict[str, Any]
Batch = dict[str, Any]

NO_BLOCK = -1
"""Asked for where a process has no block left while others have: answered with a block of no tokens."""


NOT_FOR_THE_MODEL = ("labels", "loss_weights", "segments", "num_tokens", "num_pairs")
"""What a batch holds for the loss, and for what is counted."""


class Blocks(Dataset[Block]):
    """The blocks of one split, read from Arrow through a memory map."""

    def __init__(self, folder: Path, source_of_shard: Sequence[str] = ()) -> None:
        """Open a split.

        Args:
            folder: `…/train` or `…/eval`; beside it lies `<split>-segments.arrow`, if its rows are known.
            source_of_shard: [shards] which source each shard belongs to, in the order that SEGMENTS counts in.
        """
        from datasets import load_from_disk

        self._table = load_from_disk(str(folder)).with_format("numpy")
        path = folder.parent / f"{folder.name}-segments.arrow"
        self.segments = Segments(path, source_of_shard) if path.exists() else None

    def __len__(self) -> int:
        return len(self._table)

    def __getitem__(self, index: int) -> Block:
        """Return one block: `input_ids` [tokens], `seq_lengths` [documents], `labels` [tokens], `loss_weights` [tokens]
        where the data has weights, its number `block`, and `segment_tokens` and `segment_source` [segments] where the
        rows are known; `images`, a list of `ImageRef` for each document. Of `NO_BLOCK` all are empty."""
        if index == NO_BLOCK:
            columns = {*self._table.column_names, "labels"} - {"loss_mask", "images"}
            return {**{name: np.zeros(0, np.int64) for name in columns}, "images": []}
        block = self._table[int(index)]
        block["images"] = _images_of(block.get("images"), len(block["seq_lengths"]))
        block["input_ids"] = block["input_ids"].astype(np.int64)  # small vocabularies are written in 16 bits
        if "loss_mask" in block:
            block["labels"] = np.where(block.pop("loss_mask") == 1, block["input_ids"], IGNORED_LABEL)
        block["block"] = int(index)
        if self.segments is not None:
            block["segment_tokens"], block["segment_source"] = self.segments.of_block(int(index))
        return dict(block)

    def lengths(self) -> list[int]:
        """Tokens of every block."""
        import pyarrow.compute as pc

        tokens: list[int] = pc.list_value_length(self._table.data.column("input_ids")).to_pylist()
        return tokens

    def seq_lengths(self) -> list[list[int]]:
        """Tokens of every document of every block."""
        tokens: list[list[int]] = self._table.data.column("seq_lengths").to_pylist()
        return tokens

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, as `segment_source` counts them; empty if they are not known."""
        return self.segments.sources if self.segments else ()

    @property
    def has_images(self) -> bool:
        """Whether any document has."""
        return "images" in self._table.column_names

    @property
    def is_packed(self) -> bool:
        """Whether any block holds more than one document."""
        import pyarrow.compute as pc

        longest = pc.max(pc.list_value_length(self._table.data.column("seq_lengths"))).as_py()
        return longest is not None and longest > 1


class Documents(Dataset[Block]):
    """The documents of all blocks, each as a block of its own, in the same order."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks
        self._places = [
            (block, place, *ends)
            for block, lengths in enumerate(blocks.seq_lengths())
            for place, ends in enumerate(_ends(lengths))
        ]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Block:
        """Return one document: `input_ids`, `labels` and, where the data has them, `loss_weights`, each [tokens]; its
        length, `seq_lengths` [1]; its `images` [1]; the number of its `block`, and what is known of its segments."""
        number, place, start, end = self._places[index]
        block = self._blocks[number]
        columns: Block = {
            name: block[name][start:end] for name in ("input_ids", "labels", "loss_weights") if name in block
        }
        if "segment_tokens" in block:  # none lies in two documents
            first, stop = np.searchsorted(np.cumsum(block["segment_tokens"]), [start, end], side="right")
            columns |= {name: block[name][first:stop] for name in ("segment_tokens", "segment_source")}
        images = [block["images"][place]]
        return {**columns, "seq_lengths": np.array([end - start]), "images": images, "block": number}


def _images_of(written: str | None, num_documents: int) -> list[list[ImageRef]]:
    """Read a block's images, one list a document."""
    if written is None:
        return [[] for _ in range(num_documents)]
    return [[ImageRef(**fields) for fields in images] for images in orjson.loads(str(written))]


def _ends(lengths: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where each document of a block begins and ends."""
    return pairwise(accumulate(lengths, initial=0))


@dataclass(frozen=True, slots=True)
class Collator:
    """Makes a batch of blocks.

    For the model: `input_ids` and `position_ids`, each [rows, tokens] int64; padding-free also `cu_seq_lens_q` and
    `cu_seq_lens_k` [documents + 1] int32 and `max_length_q` and `max_length_k`, numbers. With `pixels`, what these make
    of the documents' images. A model of `image_positions` gets [4, rows, tokens] where documents share a row, and finds
    them itself where none do.

    For the loss: `labels` [rows, tokens] int64, and `loss_weights` [rows, tokens] float32 where the data has weights.

    For what is counted: `num_tokens` and `num_pairs` [blocks], tokens without padding and the pairs of tokens of which
    one attends to the other; and `segments` with `block`, `source` and `num_targets`, each [segments] in the order of
    the targets.
    """

    pad_token_id: int
    padding_free: bool = False
    has_positions: bool = True
    """Whether the model takes `position_ids`."""
    pixels: PixelMaker | None = None
    """For a model of images."""
    image_positions: ImagePositions | None = None
    """For a model whose positions are more than one number a token."""

    def __call__(self, blocks: Sequence[Block]) -> Batch:
        """Collate [blocks]; a batch without any token becomes one of padding."""
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
        """`position_ids` of rows whose documents have these lengths and images."""
        if self.image_positions is None:
            width = batch["input_ids"].shape[1]
            rows = [_positions(of_row) if is_packed else np.arange(width) for of_row in lengths]
            return {"position_ids": torch.from_numpy(np.stack(rows))}
        if not is_packed:
            return {}
        num_images = [[len(of_document) for of_document in of_row] for of_row in images]
        return {"position_ids": self.image_positions.of_rows(batch, lengths, num_images)}


def _images_in(block: Block) -> list[list[ImageRef]]:
    """Of each document; a block that says nothing of images has none."""
    images: list[list[ImageRef]] = block.get("images") or [[] for _ in block["seq_lengths"]]
    return images


def _padded(values: Any, width: int, fill: int, dtype: type[np.generic]) -> Any:
    return np.concatenate([values, np.full(width - len(values), fill)]).astype(dtype)


def _with_padding(seq_lengths: Any, width: int) -> Any:
    """The lengths of a row's documents; padding is one more."""
    padding = width - int(np.sum(seq_lengths))
    return np.array([*seq_lengths, *([padding] if padding else [])], np.int64)


def _positions(lengths: Any) -> Any:
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts, lengths)


def _offsets(lengths: Any) -> Batch:
    """What kernels of variable length are told: offsets [documents + 1] int32, and the longest document."""
    offsets = torch.from_numpy(np.cumsum([0, *lengths]).astype(np.int32))
    longest = int(lengths.max())
    return {"cu_seq_lens_q": offsets, "cu_seq_lens_k": offsets, "max_length_q": longest, "max_length_k": longest}


def _own_targets(block: Block) -> Any:
    labels = np.array(block["labels"], dtype=np.int64)
    labels[np.cumsum([0, *block["seq_lengths"]])[:-1].astype(np.int64)] = IGNORED_LABEL
    return labels


def _counts(blocks: Sequence[Block], targets: Sequence[Any]) -> Batch:
    lengths = [np.asarray(block["seq_lengths"], np.int64) for block in blocks]
    segments: dict[str, list[Any]] = {"block": [], "source": [], "num_targets": []}
    for block, labels in zip(blocks, targets, strict=True):
        tokens = np.asarray(block.get("segment_tokens", block["seq_lengths"]), np.int64)
        ends = np.cumsum(tokens)
        counted = np.concatenate([[0], np.cumsum(labels != IGNORED_LABEL)])
        segments["num_targets"].append(counted[ends] - counted[ends - tokens])
        segments["source"].append(block.get("segment_source", np.zeros(len(tokens))))
        segments["block"].append(np.full(len(tokens), block.get("block", -1)))
    return {
        "num_tokens": torch.tensor([len(block["input_ids"]) for block in blocks]),
        "num_pairs": torch.tensor([int((of_block * (of_block + 1) // 2).sum()) for of_block in lengths]),
        "segments": {
            name: torch.from_numpy(np.concatenate(values).astype(np.int64)) for name, values in segments.items()
        },
    }
