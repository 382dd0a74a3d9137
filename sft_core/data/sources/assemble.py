"""Assemble ingested pieces into sources: number their shards, run the checks that need the whole source, and decide
which rows are used."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sft_core.data.selection import NUM_DRAWS, Hashes, draws, limit_of_fraction, limits_of_rows
from sft_core.data.sources.group import Group
from sft_core.data.sources.ingest import ingest
from sft_core.data.sources.locate import LocatedSource, no_row_error
from sft_core.data.sources.pieces import FilePiece
from sft_core.errors import DataError
from sft_core.store.parts import Part
from sft_core.store.records import Selection, ShardRef


@dataclass(frozen=True, slots=True)
class Ingested:
    """Result of `ingest` for a piece."""

    folder: str
    """Folder of the result, relative to the root."""
    facts: Mapping[str, Any]


def assemble(sources: Sequence[LocatedSource], ingested: Sequence[Ingested], root: Path) -> list[ShardRef]:
    """List the shards of all sources, in the order of sources, files and rows.

    Args:
        sources: All sources of a run.
        ingested: Results of ingesting their pieces, in order: all of the first source, then those of the next one.
        root: The folder that contains the folders of the results.

    Raises:
        DataError: if a source has no rows, or no row of a source has a mapped column.
    """
    remaining = iter(ingested)
    return [
        shard
        for source in sources
        for shard in _assemble(source, list(itertools.islice(remaining, len(source.pieces))), root)
    ]


def ingest_all(sources: Sequence[LocatedSource], root: Path) -> list[ShardRef]:
    """Ingest all pieces one after the other into folders below `root`, without a cache, and assemble them."""
    ingested = []
    for number, piece in enumerate(piece for source in sources for piece in source.pieces):
        folder = f"records/{number:05d}-{piece.name}"
        (root / folder).mkdir(parents=True)
        ingested.append(Ingested(folder, ingest(piece, root / folder).facts or {}))
    return assemble(sources, ingested, root)


def _assemble(source: LocatedSource, ingested: list[Ingested], root: Path) -> Iterator[ShardRef]:
    if not any(made.facts["rows"] for made in ingested):
        raise no_row_error(source.name, source.files)
    _check_columns(source, ingested)
    shards = [
        (piece, f"{made.folder}/{shard['path']}", shard)
        for piece, made in zip(source.pieces, ingested, strict=True)
        for shard in made.facts["shards"]
    ]
    parts = [_parts(piece, shard) for piece, _, shard in shards]
    selections = _selections(source, [root / path for _, path, _ in shards], parts)
    numbers: Counter[str] = Counter()
    for (piece, path, shard), own, selection in zip(shards, parts, selections, strict=True):
        file = piece.members[0].file
        yield _shard_ref(source, file, own, numbers[file], path, shard, selection)
        numbers[file] += 1


def _parts(piece: FilePiece | Group, shard: Mapping[str, Any]) -> tuple[Part, ...]:
    """Return which rows of a shard were read from which file; empty for a shard with the rows of only one file."""
    parts = shard.get("parts", [])
    starts = itertools.accumulate((rows for _, _, rows in parts), initial=parts[0][1] if parts else 0)
    return tuple(
        Part(piece.members[member].file, start, first_row, rows)
        for (member, first_row, rows), start in zip(parts, starts, strict=False)
    )


def _shard_ref(
    source: LocatedSource,
    file: str,
    parts: tuple[Part, ...],
    number: int,
    path: str,
    shard: Mapping[str, Any],
    selection: Selection | None,
) -> ShardRef:
    return ShardRef(
        source=source.name,
        split=source.spec.split,
        number=number,
        path=path,
        rows=shard["rows"],
        content_digest=shard["content_digest"],
        file=file,
        parts=parts,
        selection=selection,
        transform=source.transform,
        repeat=source.spec.repeat,
    )


def _selections(source: LocatedSource, shards: list[Path], parts: list[tuple[Part, ...]]) -> Iterator[Selection | None]:
    spec = source.spec
    limit = limit_of_fraction(spec.fraction)
    limits = iter([limit] * sum(len(own) or 1 for own in parts))
    if spec.max_rows is not None:
        drawn = [
            part
            for path, own in zip(shards, parts, strict=True)
            for part in _by_part(draws(np.load(path.with_suffix(".npy")), spec.seed), own)
        ]
        limits = iter(limits_of_rows(drawn, spec.max_rows, limit))
    for own in parts:
        below = list(itertools.islice(limits, len(own) or 1))
        lowest = min(below)
        at_limit = sum(limit > lowest for limit in below)
        yield Selection(seed=spec.seed, below=lowest, at_limit=at_limit) if lowest < NUM_DRAWS else None


def _by_part(drawn: Hashes, parts: tuple[Part, ...]) -> list[Hashes]:
    return np.split(drawn, np.cumsum([part.rows for part in parts[:-1]])) if parts else [drawn]


def _check_columns(source: LocatedSource, ingested: list[Ingested]) -> None:
    seen: set[str] = set().union(*(made.facts["columns_seen"] for made in ingested))
    missing = set(source.spec.columns.values()) - seen
    if missing:
        raise DataError(
            f"source '{source.name}' ({source.spec.path}): expected a column {_quoted(missing)}, which `columns` "
            f"names, found only {_quoted(seen) or 'no column'}; correct `sources.*.columns`"
        )


def _quoted(names: set[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names)[:50])
