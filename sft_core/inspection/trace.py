"""Traces from a block back to source lines, and of one source row through all stages.

block 7 of train  →  gsm8k row 12 (line 13), tokens 0 to 180; gsm8k row 4 (line 5), tokens 0 to 76
gsm8k row 12      →  prompt_completion, train, rendered, 180 tokens, block 7 from position 0
gsm8k row 13      →  rejected by detect_formats: `completion` is null, needed for prompt_completion
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.errors import RecipeError
from sft_core.inspection.lineage import Lineage, ShardLineage, read_columns
from sft_core.inspection.pieces import name_of
from sft_core.inspection.rows import INDEX_FILE, TEXT_FILE, take_rows
from sft_core.store.image_store import ImageRef, decode_images

EXCERPT_CHARS = 160
Fate = Literal["trained", "held out", "rejected", "left out"]


@dataclass(frozen=True, slots=True)
class TracedImage:
    """An image of a row, with the path that the row named it by."""

    digest: str
    width: int
    height: int
    name: str | None
    """Path in the row; None for an image whose bytes were in the row without a path."""

    def in_words(self) -> str:
        """Return the display name of the image, followed by the path if there is one."""
        named = f"[{name_of(ImageRef(self.digest, self.width, self.height))}]"
        return named if self.name is None else f"{named}  {self.name}"


@dataclass(frozen=True, slots=True)
class SegmentTrace:
    """One segment of a block, and the source line that it came from."""

    split: str
    block: int
    source: str
    file: str
    row: int
    line: int | None
    start: int
    """Index of its first token in the row."""
    tokens: int
    excerpt: str
    """The beginning of the record as it was read."""
    images: tuple[TracedImage, ...]
    """Images of the row."""


@dataclass(frozen=True, slots=True)
class Place:
    """Position in the data set of a row, or of a part of it."""

    split: str
    block: int
    position: int
    """Index of its first token in the block."""
    start: int
    """Index of its first token in the row."""
    tokens: int


@dataclass(frozen=True, slots=True)
class RowTrace:
    """The result of every stage for one source row."""

    source: str
    file: str
    row: int
    line: int | None
    excerpt: str
    fate: Fate
    split: str | None
    format: str | None
    images: tuple[TracedImage, ...]
    """Images of the row; empty for a row that was rejected because of one of them."""
    is_rendered: bool
    num_tokens: int | None
    num_targets: int | None
    num_cut: int | None
    places: tuple[Place, ...]
    stage: str | None
    """Stage that rejected the row; None if it was not rejected."""
    reason: str | None
    """Reason for the rejection; None if it was not rejected."""


def trace_blocks(lineage: Lineage, split: str, blocks: Sequence[int]) -> list[SegmentTrace]:
    """List the source lines in some blocks, block by block, in the order of their segments.

    Raises:
        RecipeError: if there is no such split or block.
    """
    found = lineage.splits.get(split)
    if found is None:
        raise RecipeError(f"--split {split}: expected one of {', '.join(lineage.splits)}")
    outside = [block for block in blocks if not 0 <= block < found["blocks"]]
    if outside:
        raise RecipeError(f"--block {outside[0]}: expected 0 to {found['blocks'] - 1} in {split}")
    table = lineage.segments(split)
    table = table.filter(pc.is_in(table["block"], pa.array(sorted(set(blocks)), pa.int64())))
    segments = table.to_pylist()
    records, images = _records_of(lineage, segments), _images_of(lineage, segments)
    by_block: dict[int, list[SegmentTrace]] = {}
    for segment in segments:
        shard = lineage.shards[segment["shard"]]
        place = (segment["shard"], segment["row"])
        trace = _segment(split, segment, shard, records.get(place, {}), images.get(place, ()))
        by_block.setdefault(segment["block"], []).append(trace)
    return [trace for block in blocks for trace in by_block.get(block, [])]


def trace_row(lineage: Lineage, source: str, row: int) -> list[RowTrace]:
    """Trace a source's row by its number. If the source has several files, the row with this number in each is traced.

    Raises:
        RecipeError: if there is no such source or row.
    """
    shards = [number for number, shard in enumerate(lineage.shards) if shard.source == source]
    if not shards:
        raise RecipeError(
            f"--row {source}:{row}: expected one of the sources {', '.join(sorted({s.source for s in lineage.shards}))}"
        )
    traces = [_trace(lineage, number, row) for number in shards if _has(lineage.shards[number], "row", row) is not None]
    if not traces:
        raise RecipeError(f"--row {source}:{row}: source '{source}' has no row {row} (rows count from 0)")
    return traces


def trace_line(lineage: Lineage, file: str, line: int) -> list[RowTrace]:
    """Trace the row that begins on a line of a file.

    Args:
        lineage: The data set with its shards.
        file: The path, or the end of it.
        line: Line number, counted from 1.

    Raises:
        RecipeError: if no source has such a file, or no row begins on that line.
    """
    shards = [number for number, shard in enumerate(lineage.shards) if _is_same_file(shard.file, file)]
    if not shards:
        files = sorted({shard.file for shard in lineage.shards})
        raise RecipeError(f"--line {file}:{line}: expected one of the files {', '.join(files[:10])}")
    traces = [
        _trace(lineage, number, found)
        for number in shards
        if (found := _has(lineage.shards[number], "line", line)) is not None
    ]
    if not traces:
        raise RecipeError(f"--line {file}:{line}: no row of a source begins in that line")
    return traces


def _segment(
    split: str,
    segment: dict[str, Any],
    shard: ShardLineage,
    record: dict[str, Any],
    images: tuple[TracedImage, ...],
) -> SegmentTrace:
    return SegmentTrace(
        split=split,
        block=segment["block"],
        source=shard.source,
        file=shard.file,
        row=segment["row"],
        line=record.get("line"),
        start=segment["start"],
        tokens=segment["tokens"],
        excerpt=record.get("record", "")[:EXCERPT_CHARS],
        images=images,
    )


def _records_of(lineage: Lineage, segments: list[dict[str, Any]]) -> dict[tuple[int, int], dict[str, Any]]:
    """Return the source records of some segments by shard and row; each shard is read once."""
    records: dict[tuple[int, int], dict[str, Any]] = {}
    for number, rows in _rows_by_shard(segments).items():
        shard = lineage.shards[number]
        found = take_rows(shard, shard.records, rows) if shard.records.exists() else {}
        records |= {(number, row): record for row, record in found.items()}
    return records


def _images_of(lineage: Lineage, segments: list[dict[str, Any]]) -> dict[tuple[int, int], tuple[TracedImage, ...]]:
    """Return the images of the rows of some segments, by shard and row."""
    return {
        (number, row): images
        for number, rows in _rows_by_shard(segments).items()
        for row, images in _images(lineage.shards[number], rows).items()
    }


def _rows_by_shard(segments: list[dict[str, Any]]) -> dict[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for segment in segments:
        rows.setdefault(segment["shard"], []).append(segment["row"])
    return rows


def _trace(lineage: Lineage, number: int, row: int) -> RowTrace:
    shard = lineage.shards[number]
    record = take_rows(shard, shard.records, [row])[row]
    example = take_rows(shard, shard.examples / "examples.arrow", [row], ["row", "split", "format"]).get(row, {})
    counts = take_rows(shard, shard.tokens / INDEX_FILE, [row]).get(row, {})
    places = _places(lineage, number, row)
    rejection = None if places else _rejection(lineage.rejected, shard, row)
    return RowTrace(
        source=shard.source,
        file=shard.file,
        row=row,
        line=record["line"],
        excerpt=record["record"][:EXCERPT_CHARS],
        fate=_fate(places, rejection),
        split=example.get("split"),
        format=example.get("format"),
        images=_images(shard, [row]).get(row, ()),
        is_rendered=bool(take_rows(shard, shard.rendered / TEXT_FILE, [row], ["row"])),
        num_tokens=counts.get("tokens"),
        num_targets=counts.get("targets"),
        num_cut=counts.get("tokens_truncated"),
        places=places,
        stage=rejection["stage"] if rejection else None,
        reason=rejection["reason"] if rejection else None,
    )


def _images(shard: ShardLineage, rows: Sequence[int]) -> dict[int, tuple[TracedImage, ...]]:
    """Return the images of some rows with the paths that the rows named them by: row → images."""
    if shard.gathered is None:
        return {}
    kept, named = (
        take_rows(shard, folder / "examples.arrow", rows, ["row", "images"])
        for folder in (shard.gathered, shard.examples)
    )
    return {
        row: tuple(
            TracedImage(image.digest, image.width, image.height, _name(given))
            for image, given in zip(decode_images(found["images"]), orjson.loads(named[row]["images"]), strict=True)
        )
        for row, found in kept.items()
        if found["images"]
    }


def _name(given: Any) -> str | None:
    return given if isinstance(given, str) else given.get("path")


def _fate(places: tuple[Place, ...], rejection: dict[str, Any] | None) -> Fate:
    if places:
        return "trained" if any(place.split == "train" for place in places) else "held out"
    return "rejected" if rejection else "left out"


def _places(lineage: Lineage, number: int, row: int) -> tuple[Place, ...]:
    places: list[Place] = []
    for split in lineage.splits:
        table = lineage.segments(split)
        ours = pc.and_(pc.equal(table["shard"], number), pc.equal(table["row"], row))
        block, tokens = table["block"].to_numpy(), table["tokens"].to_numpy().astype(np.int64)
        for segment in np.flatnonzero(ours.to_numpy()).tolist():
            first = int(np.searchsorted(block, block[segment]))
            position = int(tokens[first:segment].sum())
            start = table["start"][segment].as_py()
            places.append(Place(split, int(block[segment]), position, start, int(tokens[segment])))
    return tuple(places)


def _rejection(path: Path, shard: ShardLineage, row: int) -> dict[str, Any] | None:
    """Find the row's entry in `rejected.jsonl`; only lines that contain the row's number are parsed."""
    mark = b'"row":%d,' % row
    with path.open("rb") as file:
        for line in file:
            if mark in line:
                rejection: dict[str, Any] = orjson.loads(line)
                is_ours = rejection["source"] == shard.source and rejection["row"] == row
                if is_ours and rejection.get("file") in (None, "", shard.file):
                    return rejection
    return None


def _has(shard: ShardLineage, column: str, value: int) -> int | None:
    """Return the number of the shard's row with a value in the column `row` or `line`; None if there is no such row."""
    if not shard.records.exists():
        raise RecipeError(
            f"the records of source '{shard.source}' are no longer in the store; prepare the recipe again to read them"
        )
    table = shard.own(read_columns(shard.records, ["row", "line"]))
    found = table.filter(pc.equal(table[column], value))["row"]
    return int(found[0].as_py()) if len(found) else None


def _is_same_file(known: str, asked: str) -> bool:
    """True if a path typed by the user matches a known file: one of the two is a suffix of the other."""
    ours, theirs = Path(known).parts, Path(asked).parts
    shorter = min(len(ours), len(theirs))
    return bool(known) and ours[-shorter:] == theirs[-shorter:]
