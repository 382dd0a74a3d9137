"""Segments of blocks, each of which comes from one row of a source, and sums over segments and sources.

block                [a a a a b b b]      segments: 4 tokens of row 17 of `gsm8k`, 3 tokens of row 2 of `alpaca`
targets                [. .   . .]        per segment: 2, 2
losses of targets    [1 2 3 4]            per segment: 3, 7
"""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from sft_core.store.records import SEGMENTS
from sft_core.store.tables import read_columns

Integers = npt.NDArray[np.int64]


class Segments:
    """Segments of all blocks of one split, in the order of the blocks."""

    def __init__(self, path: Path, source_of_shard: Sequence[str]) -> None:
        """Read the segments.

        Args:
            path: An Arrow file with the table SEGMENTS.
            source_of_shard: [shards] source name of each shard; empty if they are not known: all segments then have
                source 0.
        """
        table = read_columns(path, SEGMENTS, ["block", "shard", "row", "tokens"])
        self._first = np.searchsorted(table["block"].to_numpy(), np.arange(_num_blocks(table["block"]) + 1))
        self._row, self._tokens, shard = (table[name].to_numpy() for name in ("row", "tokens", "shard"))
        self.sources = tuple(dict.fromkeys(source_of_shard))
        numbers = {name: number for number, name in enumerate(self.sources)}
        of_shard = np.array([numbers[name] for name in source_of_shard], np.int64)
        self._source = of_shard[shard] if len(of_shard) else np.zeros(len(shard), np.int64)

    def of_block(self, block: int) -> tuple[Integers, Integers]:
        """Return the number of tokens and the source number of a block's segments, each [segments]."""
        own = slice(self._first[block], self._first[block + 1])
        return self._tokens[own].astype(np.int64), self._source[own]

    def sources_and_rows(self) -> tuple[Integers, Integers]:
        """Return the source number and the row number of all segments, each [segments], block by block."""
        return self._source, self._row

    def rows_of_block(self, block: int) -> list[tuple[str, int]]:
        """Return (source, row) of each of a block's segments; the source is empty if it is not known."""
        own = slice(self._first[block], self._first[block + 1])
        names = self.sources or ("",)
        return [(names[source], row) for source, row in zip(self._source[own], self._row[own].tolist(), strict=True)]


def _num_blocks(blocks: pa.ChunkedArray) -> int:
    return blocks[-1].as_py() + 1 if len(blocks) else 0


def sum_by_segment(losses: Tensor, weights: Tensor | None, num_targets: Tensor) -> Tensor:
    """Sum losses and weights over the targets of each segment.

    Segments are consecutive, so numbers are always added in the same order, and the computation never waits for the
    device.

    Args:
        losses: [targets] each target's contribution to the loss, which includes its weight.
        weights: [targets] weights; None if all are 1.
        num_targets: [segments] number of targets of each segment, in order.

    Returns:
        [2, segments] float64, detached: losses, and weights.
    """
    of_weights = num_targets.double() if weights is None else _sums_of(weights.double(), num_targets)
    return torch.stack([_sums_of(losses.detach().double(), num_targets), of_weights])


def count_hits(hits: Tensor, num_targets: Tensor) -> Tensor:
    """Count the hits in each segment, as `sum_by_segment` sums losses.

    Args:
        hits: [targets] True where the target is the most likely token.
        num_targets: [segments] number of targets of each segment, in order.

    Returns:
        [2, segments] float64: hits, and targets.
    """
    return torch.stack([_sums_of(hits.double(), num_targets), num_targets.double()])


def _sums_of(values: Tensor, lengths: Tensor) -> Tensor:
    return torch.segment_reduce(values, "sum", lengths=lengths, unsafe=True, initial=0.0)


def sum_by_source(by_segment: Tensor, source: Tensor, num_sources: int) -> Tensor:
    """Sum the result of `sum_by_segment` over the segments of each source.

    Args:
        by_segment: [2, segments] weighted losses, and weights.
        source: [segments] number of each segment's source.
        num_sources: Number of sources.

    Returns:
        [2, sources] float64: weighted loss, and weight.
    """
    is_own = source[None, :] == torch.arange(num_sources, device=source.device)[:, None]
    return torch.where(is_own[None], by_segment[:, None, :], 0.0).sum(-1)


def loss_by_source(sums: Tensor, sources: Sequence[str], prefix: str = "") -> dict[str, float]:
    """Return the mean loss of each source that had a target, by metric name, for example `loss/gsm8k`.

    Args:
        sums: [2 × sources] weighted losses, then weights.
        sources: Names of the sources.
        prefix: Prefix of the metric names.
    """
    losses, weights = sums.reshape(2, len(sources)).tolist()
    return {
        name_of_loss(source, prefix): loss / weight
        for source, loss, weight in zip(sources, losses, weights, strict=True)
        if weight
    }


def name_of_loss(source: str, prefix: str = "") -> str:
    """Return the metric name of a source's loss. Characters that MLflow may refuse, most punctuation, become `_`."""
    return f"{prefix}loss/" + re.sub(r"[^\w.\- ]", "_", source)
