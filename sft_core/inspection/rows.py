"""Prepared rows, token by token: selected by name, drawn at random, or the ones most likely to have a problem."""

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
from sft_core.inspection.pieces import ImagePiece, Kind, Piece, TokenReader, with_images
from sft_core.pretrained.image_places import ImagePlace, ImageReader
from sft_core.pretrained.plain_tokenizer import PlainTokenizer
from sft_core.pretrained.processor import ProcessorRef, load_processor
from sft_core.pretrained.tokenizer import load_tokenizer
from sft_core.store.image_store import ImageRef, decode_images
from sft_core.store.parts import parts_of_rows, rows_in_files

TOKEN_FILE, INDEX_FILE, TEXT_FILE = "tokens.arrow", "index.arrow", "rendered.arrow"


@dataclass(frozen=True, slots=True)
class RowTable:
    """Token counts of all kept rows of a data set. Every array has shape [rows]."""

    shard: npt.NDArray[np.int64]
    """Index in the data set's list of shards."""
    row: npt.NDArray[np.int64]
    """Number in the source file."""
    is_train: npt.NDArray[np.bool_]
    """True for a row of the training split."""
    tokens: npt.NDArray[np.int64]
    """Number of tokens after truncation."""
    targets: npt.NDArray[np.int64]
    """Number of tokens that are targets of the loss, after the shift by one."""
    tokens_truncated: npt.NDArray[np.int64]
    """Number of tokens removed by truncation."""

    @classmethod
    def read(cls, lineage: Lineage) -> "RowTable":
        """Read the index of every shard, without the token ids."""
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
    """One row as it is in the data set."""

    source: str
    file: str
    row: int
    line: int | None
    split: str
    num_tokens: int
    """Number of tokens after truncation."""
    num_trained: int
    """Number of targets of the loss. A row's first token is never one, because nothing predicts it."""
    num_cut: int
    """Number of tokens removed by truncation."""
    pieces: tuple[Piece, ...]
    """All tokens in order, including truncated ones where they could be recovered. The tokens of an image are one
    piece."""
    why: str = ""
    """Reason for which this row was chosen."""
    images: tuple[ImageRef, ...] = ()
    """Images of the row."""

    @property
    def image_pieces(self) -> list[ImagePiece]:
        """The pieces that are images; none if the tokens of the images were not located."""
        return [piece for piece in self.pieces if isinstance(piece, ImagePiece)]

    @property
    def shown_images(self) -> list[tuple[ImageRef, int | None]]:
        """Each image of the row with its number of tokens, or None where that is not known."""
        located = [(piece.image, piece.num_tokens) for piece in self.image_pieces]
        return [*located] or [(image, None) for image in self.images]


def random_rows(table: RowTable, num_rows: int, seed: int) -> list[int]:
    """Choose rows at random: return their positions in the table, ascending. The seed determines the choice."""
    generator = np.random.default_rng(seed)
    return sorted(generator.choice(len(table), min(num_rows, len(table)), replace=False).tolist())


def worst_rows(table: RowTable, rows_each: int) -> dict[int, str]:
    """Choose the rows to inspect first.

    The kinds take turns: most truncated tokens, fewest targets, longest row without truncation.

    Returns:
        Position in the table → reason for the choice, at most `rows_each` rows of each kind.
    """
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
    """Return the first rows of each source: source → positions in the table."""
    chosen: dict[str, list[int]] = {shard.source: [] for shard in lineage.shards}
    for number, shard in enumerate(lineage.shards):
        room = num_rows - len(chosen[shard.source])
        if room > 0:
            chosen[shard.source] += np.flatnonzero(table.shard == number)[:room].tolist()
    return chosen


def named_rows(lineage: Lineage, table: RowTable, source: str, row: int) -> list[int]:
    """Return the positions of a source's rows with a given number: one for each of its files that has such a row.

    Raises:
        RecipeError: if there is no such source, or if no row with this number was kept.
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
    """Decode rows token by token. Only the shards of these rows are read, each of them once.

    Args:
        lineage: The data set with its shards.
        table: The token counts of its rows.
        tokenizer: Tokenizer that decodes the token ids.
        positions: Positions of the rows in the table.
        why: Position → reason for which the row was chosen, for some of the rows.
        processor: Processor that locates the tokens of images, loaded if a row has images. With None, the tokens of
            images are shown one by one.
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
    """Read some rows of a shard from a stage's table.

    Returns:
        Number in the source file → columns. Rows that the table does not have are missing.
    """
    table = shard.own(read_columns(path, columns))
    found = table.filter(pc.is_in(table["row"], pa.array(rows, pa.int64())))
    return {row["row"]: row for row in found.to_pylist()}


def _index_of(shards: list[tuple[int, ShardLineage]]) -> pa.Table:
    """Read the index file of one shard, or of several consecutive shards that share it."""
    names = ["row", "split", "tokens", "targets", "tokens_truncated"]
    first, shard = shards[0]
    table = read_columns(shard.tokens / INDEX_FILE, names).select(names)
    parts = [shard.part for _, shard in shards if shard.part is not None]
    row = table["row"].to_numpy()
    table = table.set_column(0, "row", pa.array(rows_in_files(parts, row), pa.int64()))
    return table.append_column("shard", pa.array(first + parts_of_rows(parts, row), pa.int64()))


class _Speller:
    """Decoder of rows that also locates the tokens of their images."""

    def __init__(self, tokenizer: PlainTokenizer, processor: ProcessorRef | None) -> None:
        self.tokenizer, self.tokens, self._processor = tokenizer, TokenReader(tokenizer), processor

    def places(self, ids: list[int], images: list[ImageRef]) -> list[ImagePlace]:
        """Return the token range of each image; empty without a processor, or if truncation cut through an image."""
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
    """Recover the tokens that truncation removed, and their position in the row.

    The row's text is encoded again and compared with the kept tokens at both ends. If the ids do not agree (the row
    came as token ids, or special tokens were written as text), no tokens are returned and only their number is known.
    The caller skips rows with images, whose text was expanded.
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
    """Find the one contiguous run that is missing: `[1, 2, 9]` lacks `[3, 4]` of `[1, 2, 3, 4, 9]` at position 2.

    Args:
        kept: Token ids after truncation.
        whole: Token ids before truncation.

    Returns:
        Position and token ids of the run; 0 and an empty list if `kept` is not `whole` without one run.
    """
    pairs = enumerate(zip(kept, whole, strict=False))
    start = next((position for position, (ours, theirs) in pairs if ours != theirs), min(len(kept), len(whole)))
    stop = len(whole) - (len(kept) - start)
    return (start, whole[start:stop]) if stop >= start and whole[stop:] == kept[start:] else (0, [])
