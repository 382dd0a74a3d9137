"""Statistics of a data set: per source, per split, and row lengths.

They are computed from manifests, indexes and segments; token ids are not read.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from sft_core.inspection.lineage import Lineage
from sft_core.inspection.rows import RowTable

EXAMPLES_PER_REASON = 3
Rejected = dict[str, Any]
"""One line of `rejected.jsonl`."""


@dataclass(frozen=True, slots=True)
class SourceFigures:
    """Counts of one source's rows and tokens."""

    name: str
    files: tuple[str, ...]
    formats: dict[str, int]
    rows_in: int
    rows_train: int
    rows_eval: int
    rows_rejected: int
    tokens: int
    """Number of tokens in the data set; a row that is repeated counts each time."""
    targets: int
    """Number of tokens of the kept rows that are targets of the loss; each row counts once."""
    tokens_truncated: int

    @property
    def rows_left_out(self) -> int:
        """Number of rows that the recipe did not select: neither trained, held out nor rejected."""
        return max(0, self.rows_in - self.rows_train - self.rows_eval - self.rows_rejected)


@dataclass(frozen=True, slots=True)
class SplitFigures:
    """The blocks of one split."""

    name: str
    rows: int
    tokens: int
    digest: str
    tokens_per_block: npt.NDArray[np.int64]
    """Number of tokens in each block, shape [blocks]."""
    rows_per_block: npt.NDArray[np.int64]
    """Number of rows in each block, shape [blocks]."""

    @property
    def is_packed(self) -> bool:
        """True if at least one block has several rows."""
        return bool(self.rows_per_block.max(initial=1) > 1)

    def fill(self, block_tokens: int) -> float:
        """Return the share of the blocks' token capacity that is used, from 0 to 1."""
        return self.tokens / max(len(self.tokens_per_block) * block_tokens, 1)


@dataclass(slots=True)
class ReasonFigures:
    """One reason for rejection: the number of its rows, and the first of them as examples."""

    reason: str
    stage: str
    rows: int = 0
    examples: list[Rejected] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Figures:
    """Statistics of a data set."""

    sources: tuple[SourceFigures, ...]
    splits: tuple[SplitFigures, ...]
    reasons: tuple[ReasonFigures, ...]
    """Reasons for rejection, most frequent first."""
    ledger: dict[str, Any]
    """The ledger's counts, as returned by `Ledger.flat`."""
    whole_lengths: npt.NDArray[np.int64]
    """Number of tokens of each row before truncation, shape [rows]."""
    targets: int
    """Number of tokens of all kept rows that are targets of the loss."""
    kept_tokens: int
    """Number of tokens of all kept rows after truncation."""
    rows_truncated: int
    max_length: int | None

    def length_quantile(self, part: float) -> float:
        """Return a quantile of the row lengths before truncation; 0.5 is the median and 1 the longest row."""
        return float(np.quantile(self.whole_lengths, part))


def figures_of(lineage: Lineage, table: RowTable) -> Figures:
    """Compute the statistics of a data set.

    Args:
        lineage: The data set with its shards.
        table: The token counts of its rows.
    """
    reasons, rejected = _count_rejected(lineage.rejected)
    ledger = lineage.manifest.ledger
    return Figures(
        sources=_count_sources(lineage, table, rejected),
        splits=tuple(_count_split(lineage, name) for name in lineage.splits),
        reasons=reasons,
        ledger=ledger.flat() if ledger else {},
        whole_lengths=table.tokens + table.tokens_truncated,
        targets=int(table.targets.sum()),
        kept_tokens=int(table.tokens.sum()),
        rows_truncated=int((table.tokens_truncated > 0).sum()),
        max_length=lineage.max_length,
    )


def _count_split(lineage: Lineage, name: str) -> SplitFigures:
    facts, segments = lineage.splits[name], lineage.segments(name)
    block = segments["block"].to_numpy()
    return SplitFigures(
        name=name,
        rows=facts["rows"],
        tokens=facts["tokens"],
        digest=facts["digest"],
        tokens_per_block=np.bincount(block, weights=segments["tokens"].to_numpy()).astype(np.int64),
        rows_per_block=np.bincount(block).astype(np.int64),
    )


def _count_sources(lineage: Lineage, table: RowTable, rejected: Counter[str]) -> tuple[SourceFigures, ...]:
    num_shards = len(lineage.shards)
    rows, tokens = {}, np.zeros(num_shards, np.int64)
    for split in ("train", "eval"):
        rows[split] = np.zeros(num_shards, np.int64)
        if split in lineage.splits:
            segments = lineage.segments(split)
            shard = segments["shard"].to_numpy().astype(np.int64)
            tokens += np.bincount(shard, segments["tokens"].to_numpy(), num_shards).astype(np.int64)
            rows[split] = _distinct_rows(shard, segments["row"].to_numpy(), num_shards)
    targets = np.bincount(table.shard, table.targets, num_shards).astype(np.int64)
    truncated = np.bincount(table.shard, table.tokens_truncated, num_shards).astype(np.int64)
    figures = []
    for name in dict.fromkeys(shard.source for shard in lineage.shards):
        numbers = [number for number, shard in enumerate(lineage.shards) if shard.source == name]
        shards = [lineage.shards[number] for number in numbers]
        formats: Counter[str] = Counter()
        for shard in shards:
            formats.update(shard.formats)
        figures.append(
            SourceFigures(
                name=name,
                files=tuple(dict.fromkeys(shard.file for shard in shards if shard.file)),
                formats=dict(formats.most_common()),
                rows_in=sum(shard.rows_in for shard in shards),
                rows_train=int(rows["train"][numbers].sum()),
                rows_eval=int(rows["eval"][numbers].sum()),
                rows_rejected=rejected[name],
                tokens=int(tokens[numbers].sum()),
                targets=int(targets[numbers].sum()),
                tokens_truncated=int(truncated[numbers].sum()),
            )
        )
    return tuple(figures)


def _distinct_rows(shard: npt.NDArray[np.int64], row: npt.NDArray[np.int64], num_shards: int) -> npt.NDArray[np.int64]:
    """Count the distinct rows of each shard, shape [shards]; a row that is repeated or split counts once."""
    pairs = np.unique(np.stack([shard, row]), axis=1)
    return np.bincount(pairs[0], minlength=num_shards)


def _count_rejected(path: Path) -> tuple[tuple[ReasonFigures, ...], Counter[str]]:
    """Return the reasons for rejection, most frequent first, and the number of rejected rows per source."""
    by_reason: dict[str, ReasonFigures] = {}
    by_source: Counter[str] = Counter()
    for rejected in _read_lines(path):
        reason = by_reason.setdefault(rejected["reason"], ReasonFigures(rejected["reason"], rejected["stage"]))
        reason.rows += 1
        by_source[rejected["source"]] += 1
        if len(reason.examples) < EXAMPLES_PER_REASON:
            reason.examples.append(rejected)
    return tuple(sorted(by_reason.values(), key=lambda reason: -reason.rows)), by_source


def _read_lines(path: Path) -> Iterator[Rejected]:
    with path.open("rb") as file:
        yield from (orjson.loads(line) for line in file)
