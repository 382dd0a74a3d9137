"""Prepared rows, token by token: any of them by name, a random sample, or the ones that are most likely wrong."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from sft_core.errors import DataError, RecipeError
from sft_core.inspection.lineage import Lineage, ShardLineage, read_columns
from sft_core.inspection.pieces import Kind, Piece, TokenReader, with_images
from sft_core.pretrained.image_places import ImagePlace, ImageReader
from sft_core.pretrained.plain_tokenizer import PlainTokenizer
from sft_core.pretrained.processor import ProcessorRef, load_processor
from sft_core.pretrained.tokenizer import load_tokenizer
from sft_core.store.image_store import ImageRef, decode_images
from sft_core.store.parts import parts_of_rows, rows_in_files

TOKEN_FILE, INDEX_FILE, TEXT_FILE = "tokens.arrow", "index.arrow", "rendered.arrow"


@dataclass(frozen=True, slots=True)
class RowTable:
    """All kept rows of a data set in numbers, each [rows]."""

    shard: npt.NDArray[np.int64]
    """Position in the data set's list of shards."""
    row: npt.NDArray[np.int64]
    is_train: npt.NDArray[np.bool_]
    tokens: npt.NDArray[np.int64]
    """Kept."""
    targets: npt.NDArray[np.int64]
    """After the shift by one."""
    tokens_truncated: npt.NDArray[np.int64]

    @classmethod
    def read(cls, lineage: Lineage) -> "RowTable":
        """Read the index of every shard; tokens stay on disk."""
        numbered = itertools.groupby(enumerate(lineage.shards), key=lambda entry: entry[1].number)
        table = pa.concat_tables([_index_of(list(shards)) for _, shards in numbered])
        return cls(
            shard=table["shard"].to_numpy(),
            row=table["row"].to_numpy(),
            is_train=pc.equal(table["split"], "train").to_numpy(),
            tokens=table["tokens"].to_numpy().astype(np.int64),
            targets=table["targets"].to_numpy().astype(np.int64),
            tokens_truncated=pc.fill_null(table["tokens_truncated"], 0).to_numpy().astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True, slots=True)
class RowView:
    """One row as it goes into the data set."""

    source: str
    file: str
    row: int
    line: int | None
    split: str
    num_tokens: int
    """Kept."""
    num_trained: int
    """Targets of the loss: nothing predicts a row's first token, so it is never one."""
    num_cut: int
    pieces: tuple[Piece, ...]
    """All tokens in order, with those that were cut off where they can be told; those of an image as one."""
    why: str = ""
    """Why this row was chosen."""
    images: tuple[ImageRef, ...] = ()
    """That the model sees with it."""


def random_rows(table: RowTable, num_rows: int, seed: int) -> list[int]:
    """Choose rows at random: positions in the table, ascending, the same for the same seed."""
    generator = np.random.default_rng(seed)
    return sorted(generator.choice(len(table), min(num_rows, len(table)), replace=False).tolist())


def worst_rows(table: RowTable, rows_each: int) -> dict[int, str]:
    """Choose the rows that are worth a look first, one of each kind in turn: position in the table → why."""
    rankings = (
        ("most tokens cut off", -table.tokens_truncated, table.tokens_truncated > 0),
        ("fewest trained tokens", table.targets, np.ones(len(table), bool)),
        ("longest that is whole", -table.tokens, table.tokens_truncated == 0),
    )
    ranked = {
        why: _lowest(order, np.flatnonzero(is_candidate), rows_each * len(rankings))
        for why, order, is_candidate in rankings
    }
    chosen: dict[int, str] = {}
    for _ in range(rows_each):
        for why, rows in ranked.items():
            fresh = next((row for row in rows if row not in chosen), None)
            if fresh is not None:
                chosen[fresh] = why
    return chosen


def _lowest(order: npt.NDArray[np.int64], candidates: npt.NDArray[np.int64], num_rows: int) -> list[int]:
    ranked: list[int] = candidates[np.argsort(order[candidates], kind="stable")[:num_rows]].tolist()
    return ranked


def first_rows(lineage: Lineage, table: RowTable, num_rows: int) -> dict[str, list[int]]:
    """The first rows of each source: positions in the table."""
    chosen: dict[str, list[int]] = {shard.source: [] for shard in lineage.shards}
    for number, shard in enumerate(lineage.shards):
        room = num_rows - len(chosen[shard.source])
        if room > 0:
            chosen[shard.source] += np.flatnonzero(table.shard == number)[:room].tolist()
    return chosen


def named_rows(lineage: Lineage, table: RowTable, source: str, row: int) -> list[int]:
    """The rows of a source with a number: one in each of its files that is long enough.

    Raises:
        RecipeError: if there is no such source, or no such row among those that were kept.
    """
    names = sorted({shard.source for shard in lineage.shards})
    if source not in names:
        raise RecipeError(f"--row {source}:{row}: expected one of the sources {', '.join(names)}")
    shards = [number for number, shard in enumerate(lineage.shards) if shard.source == source]
    found = np.flatnonzero((table.row == row) & np.isin(table.shard, shards)).tolist()
    if not found:
        raise RecipeError(
            f"--row {source}:{row}: no such row was kept; `sft trace` with the same --row says where it went"
        )
    return list(found)


def view_rows(
    lineage: Lineage,
    table: RowTable,
    tokenizer: PlainTokenizer,
    positions: Iterable[int],
    why: dict[int, str] | None = None,
    processor: ProcessorRef | None = None,
) -> list[RowView]:
    """Spell rows token by token; only their shards are read, each once.

    Args:
        lineage: Of the data set.
        table: Its rows.
        tokenizer: Spells the ids.
        positions: Of the rows, in the table.
        why: Of some of them: why they were chosen.
        processor: Tells which tokens are an image's; it is loaded where a row has images. None: nothing tells it.
    """
    wanted = list(positions)
    speller = _Speller(tokenizer, processor)
    views: dict[int, RowView] = {}
    for number in sorted({int(table.shard[position]) for position in wanted}):
        shard = lineage.shards[number]
        here = [position for position in wanted if table.shard[position] == number]
        kept = take_rows(shard, shard.tokens / TOKEN_FILE, table.row[here].tolist())
        for position in here:
            row = kept[int(table.row[position])] | {"num_cut": int(table.tokens_truncated[position])}
            views[position] = _view(shard, row, speller, (why or {}).get(position, ""))
    return [views[position] for position in wanted]


def take_rows(
    shard: ShardLineage, path: Path, rows: Sequence[int], columns: list[str] | None = None
) -> dict[int, dict[str, Any]]:
    """Read some rows of a shard from a stage's table: number in the file → columns; rows that are not there are left
    out."""
    table = shard.own(read_columns(path, columns))
    found = table.filter(pc.is_in(table["row"], pa.array(rows, pa.int64())))
    return {row["row"]: row for row in found.to_pylist()}


def _index_of(shards: list[tuple[int, ShardLineage]]) -> pa.Table:
    """The index that one shard has, or that several share, which follow each other: read once."""
    names = ["row", "split", "tokens", "targets", "tokens_truncated"]
    first, shard = shards[0]
    table = read_columns(shard.tokens / INDEX_FILE, names).select(names)
    parts = [shard.part for _, shard in shards if shard.part is not None]
    row = table["row"].to_numpy()
    table = table.set_column(0, "row", pa.array(rows_in_files(parts, row), pa.int64()))
    return table.append_column("shard", pa.array(first + parts_of_rows(parts, row), pa.int64()))


class _Speller:
    """Spells rows, and finds the tokens of their images."""

    def __init__(self, tokenizer: PlainTokenizer, processor: ProcessorRef | None) -> None:
        self.tokenizer, self.tokens, self._processor = tokenizer, TokenReader(tokenizer), processor

    def places(self, ids: list[int], images: list[ImageRef]) -> list[ImagePlace]:
        """Where each image stands; none if that is not known, or a cut left other tokens than there should be."""
        if self._processor is None or not images:
            return []
        try:
            return ImageReader(load_processor(self._processor), load_tokenizer(self._processor.tokenizer)).places(
                ids, images
            )
        except DataError:
            return []


def _view(shard: ShardLineage, row: dict[str, Any], speller: _Speller, why: str) -> RowView:
    images = decode_images(row.get("images"))
    ids: list[int] = row["input_ids"]
    mask = [0, *row["loss_mask"][1:]]
    at, cut = _cut_off(shard, row["row"], ids, speller.tokenizer) if row["num_cut"] and not images else (0, [])
    kept: list[Kind] = ["trained" if is_trained else "context" for is_trained in mask]
    lost: Kind = "cut"
    kinds = [*kept[:at], *[lost] * len(cut), *kept[at:]]
    weights = row.get("loss_weights")
    if weights is not None:
        weights = [*weights[:at], *[1.0] * len(cut), *weights[at:]]
    pieces = speller.tokens.read([*ids[:at], *cut, *ids[at:]], kinds, weights)
    places = speller.places(ids, images)
    return RowView(
        source=shard.source,
        file=shard.file,
        row=row["row"],
        line=row["line"],
        split=row["split"],
        num_tokens=len(ids),
        num_trained=sum(mask),
        num_cut=row["num_cut"],
        pieces=tuple(with_images(pieces, images, places) if places else pieces),
        why=why,
        images=tuple(images),
    )


def _cut_off(shard: ShardLineage, row: int, kept: list[int], tokenizer: PlainTokenizer) -> tuple[int, list[int]]:
    """The tokens that truncation took away, and where in the row they were: the text is encoded again, and what was
    kept is laid over its two ends.

    Where that does not lead to the same ids (the row came as ids, or special tokens were spelled out as text) nothing
    is returned, and the count has to do; so it is of rows with images, whose text was expanded.
    """
    rendered = take_rows(shard, shard.rendered / TEXT_FILE, [row], ["row", "text", "wants_special_tokens"]).get(row)
    if rendered is None or not rendered["text"]:
        return 0, []
    wants_special = rendered["wants_special_tokens"]
    whole = tokenizer.encode(rendered["text"], add_special_tokens=wants_special)
    end = tokenizer.eos_token_id
    if wants_special and end is not None and whole[-1:] != [end]:
        whole = [*whole, end]
    return lost_between(kept, whole)


def lost_between(kept: list[int], whole: list[int]) -> tuple[int, list[int]]:
    """Find the one stretch that is missing: `[1, 2, 9]` of `[1, 2, 3, 4, 9]` lacks `[3, 4]` at position 2.

    Args:
        kept: [tokens]
        whole: [tokens]

    Returns:
        Where the stretch was, and its tokens; none if `kept` is not `whole` without one stretch.
    """
    pairs = enumerate(zip(kept, whole, strict=False))
    start = next((position for position, (ours, theirs) in pairs if ours != theirs), min(len(kept), len(whole)))
    stop = len(whole) - (len(kept) - start)
    return (start, whole[start:stop]) if stop >= start and whole[stop:] == kept[start:] else (0, [])
