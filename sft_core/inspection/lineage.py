"""Lineage of a packed data set through every stage: the folders with the rows of each shard, and their source file.

Manifests name the artifacts they were made from, so the lineage is read from the store alone:

    data set ──▶ token ids ──▶ text ──▶ examples ──▶ records in the ingest artifact

Where an input artifact no longer exists, another artifact with the same content is used: a stage whose code changed has
written the same bytes again under another key.

Where rows have images, `gather_images` comes between text and examples.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import ValidationError

from sft_core.errors import RecipeError
from sft_core.store.artifact import FOLDER_KEY_DIGITS, MANIFEST, ArtifactRef, ArtifactStore, Manifest
from sft_core.store.parts import Part, rows_in_files
from sft_core.store.stages import (
    DETECT_FORMATS,
    GATHER_IMAGES,
    INGEST_SOURCES,
    PACK_SHARDS,
    RENDER_CHATS,
    TOKENIZE_CHATS,
)

ARTIFACTS = "artifacts"


@dataclass(frozen=True, slots=True)
class ShardLineage:
    """One shard of a data set: the origin of its rows, and the folder of each stage's artifact for them."""

    source: str
    file: str
    """Source file of the rows; empty if the store no longer has it recorded."""
    rows_in: int
    formats: dict[str, int]
    tokens: Path
    rendered: Path
    examples: Path
    records: Path
    """The Arrow file with the records."""
    number: int = 0
    """Index of its artifacts among those of the data set. Small files that share an artifact have the same number."""
    part: Part | None = None
    """The range of rows in those artifacts that belongs to this shard, with their row numbers in its file. None means
    all rows, with row numbers as stored."""
    gathered: Path | None = None
    """Folder of the artifact that gathered the images of the rows; None if no row has an image."""

    def own(self, table: pa.Table) -> pa.Table:
        """Select the rows of this shard from a stage's table with a column `row`, numbered as in its source file."""
        if self.part is None:
            return table
        row = table["row"].to_numpy()
        start, stop = np.searchsorted(row, [self.part.start, self.part.start + self.part.rows])
        numbers = pa.array(rows_in_files([self.part], row[start:stop]), pa.int64())
        return table.slice(start, stop - start).set_column(table.schema.get_field_index("row"), "row", numbers)


@dataclass(frozen=True, slots=True)
class Lineage:
    """A data set and its shards, in the order of the shard numbers in `SEGMENTS`. A stored shard that several small
    files share appears here once per file."""

    manifest: Manifest
    folder: Path
    shards: tuple[ShardLineage, ...]

    @property
    def splits(self) -> dict[str, dict[str, Any]]:
        """Split → its `rows`, `blocks`, `tokens` and `digest`, for each split that has rows."""
        return dict(self.manifest.facts["splits"])

    @property
    def max_length(self) -> int | None:
        """Maximum number of tokens of a row and of a block; None without a limit."""
        limit: int | None = self.manifest.payload["inputs"]["capacity"]
        return limit

    def segments(self, split: str) -> pa.Table:
        """Read the table of a split's segments: the part of a row that each block contains (`SEGMENTS`)."""
        return read_columns(self.folder / f"{split}-segments.arrow")

    def block_lengths(self, split: str) -> list[int]:
        """Return the number of tokens of each block, in block order."""
        segments = self.segments(split)
        totals = segments.group_by("block").aggregate([("tokens", "sum")]).sort_by("block")
        lengths: list[int] = totals["tokens_sum"].to_pylist()
        return lengths

    @property
    def rejected(self) -> Path:
        """The file with every rejected row."""
        return self.folder / "rejected.jsonl"


def lineage_of(store: ArtifactStore, dataset: ArtifactRef) -> Lineage:
    """Follow a data set's manifest to the shards it was packed from.

    Raises:
        RecipeError: if an artifact in the lineage is missing.
    """
    manifest = store.manifest(dataset)
    folders = _Folders(store.root)
    tokens, ways = _read_from(manifest, TOKENIZE_CHATS), _ways(manifest)
    named = iter(manifest.facts.get("shards") or [])
    counts = manifest.facts.get("parts_per_shard") or [1] * len(tokens)
    shards = tuple(
        shard
        for number, (ref, way, count) in enumerate(zip(tokens, ways, counts, strict=True))
        for shard in _follow(folders, ref, way, number, list(itertools.islice(named, count)))
    )
    return Lineage(manifest, store.path(dataset), shards)


def find_dataset(folder: Path) -> tuple[ArtifactStore, ArtifactRef, Manifest]:
    """Find the data set of a folder: the folder itself, or the data set that a training or evaluation was made from.

    Args:
        folder: An artifact's folder, or one inside it (`…/train`, `…/model`), up to two levels down.

    Returns:
        The store, the data set, and the manifest of the folder itself.

    Raises:
        RecipeError: if the folder is not an artifact, or belongs to a stage that comes before packing.
    """
    for candidate in (folder.resolve(), *folder.resolve().parents[:2]):
        manifest = _read_manifest(candidate / MANIFEST)
        if manifest is not None:
            break
    else:
        raise RecipeError(f"{folder}: expected a recipe, a data set or a training run's folder, found no {MANIFEST}")
    depth = len(Path(manifest.ref.folder).parts)
    store = ArtifactStore(root=candidate.parents[depth - 1])
    if manifest.ref.stage == PACK_SHARDS:
        return store, manifest.ref, manifest
    dataset = find_behind(store, manifest, PACK_SHARDS)
    if dataset is None:
        raise RecipeError(f"{folder}: `{manifest.ref.stage}` comes before packing; name what was made from its output")
    return store, dataset.ref, manifest


def find_artifact(store: ArtifactStore, stage: str, key: str) -> Manifest:
    """Find an artifact by its stage and key.

    Raises:
        RecipeError: if the store does not have it.
    """
    found = _Folders(store.root).find(stage, key)
    if found is None:
        raise _missing(stage, key)
    return found


def find_behind(store: ArtifactStore, manifest: Manifest, stage: str) -> Manifest | None:
    """Find the artifact of a stage that another artifact was made from; None if the manifest lists none of that stage.

    Raises:
        RecipeError: if the artifact is missing.
    """
    refs = _read_from(manifest, stage)
    return _Folders(store.root).manifest(refs[0]) if refs else None


def _read_from(manifest: Manifest, stage: str) -> list[ArtifactRef]:
    """Return the artifacts of a stage that an artifact was made from, in order."""
    return [ref for ref in manifest.made_from if ref.stage == stage]


def _missing(stage: str, key: str) -> RecipeError:
    return RecipeError(f"the artifact {stage} {key} is missing or damaged; prepare the recipe again to rebuild it")


def read_columns(path: Path, names: list[str] | None = None) -> pa.Table:
    """Read some columns of an Arrow file without decoding the others; None reads all columns."""
    with pa.memory_map(str(path)) as file:
        schema = pa.ipc.open_file(file).schema
        wanted = None if names is None else [schema.get_field_index(name) for name in names if name in schema.names]
        return pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=wanted)).read_all()


class _Folders:
    """Artifacts of a store by key. The folders of a stage are listed only once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._listed: dict[str, dict[str, Path]] = {}
        self._contents: dict[str, dict[str, Manifest]] = {}
        self._ingested: dict[str, tuple[Path, dict[str, Any]]] | None = None

    def find(self, stage: str, key: str) -> Manifest | None:
        manifest = _read_manifest(self.folder(stage, key) / MANIFEST)
        return manifest if manifest is not None and manifest.ref.key == key else None

    def manifest(self, ref: ArtifactRef) -> Manifest:
        manifest = self.find(ref.stage, ref.key) or self._of_content(ref)
        if manifest is None:
            raise _missing(ref.stage, ref.key)
        return manifest

    def _of_content(self, ref: ArtifactRef) -> Manifest | None:
        if ref.stage not in self._contents:
            read = (_read_manifest(path) for path in (self._root / ARTIFACTS / ref.stage).rglob(MANIFEST))
            self._contents[ref.stage] = {manifest.ref.content: manifest for manifest in read if manifest is not None}
        return self._contents[ref.stage].get(ref.content)

    def path(self, manifest: Manifest) -> Path:
        return self._root / manifest.ref.folder

    def folder(self, stage: str, key: str) -> Path:
        if stage not in self._listed:
            manifests = (self._root / ARTIFACTS / stage).rglob(MANIFEST)
            self._listed[stage] = {path.parent.name[-FOLDER_KEY_DIGITS:]: path.parent for path in manifests}
        return self._listed[stage].get(key[:FOLDER_KEY_DIGITS], self._root / "missing")

    def records(self, content_digest: str) -> tuple[Path, dict[str, Any]]:
        """Return the Arrow file of a shard's records, and the shard's entry in the manifest of its ingest artifact."""
        if self._ingested is None:
            found = sorted(_ingested_shards(self._root), key=lambda entry: entry[0])
            self._ingested = {shard["content_digest"]: (path, shard) for _, path, shard in found}
        return self._ingested.get(content_digest, (self._root / "missing", {}))


def _ways(manifest: Manifest) -> Iterator[dict[str, ArtifactRef]]:
    """Yield, for each shard of a data set, a map from stage to the artifact of the shard before tokenization.

    The shard's own manifests are not enough, because shards of equal content share them.
    """
    way: dict[str, ArtifactRef] = {}
    for ref in manifest.made_from:
        if ref.stage != TOKENIZE_CHATS:
            way[ref.stage] = ref
        if ref.stage == RENDER_CHATS:
            yield way
            way = {}


def _follow(
    folders: _Folders, ref: ArtifactRef, way: dict[str, ArtifactRef], number: int, named: list[dict[str, Any]]
) -> Iterator[ShardLineage]:
    """Follow one token shard; `named` holds the entries of the shard, or of its parts, in the data set's manifest."""
    tokens, rendered = folders.manifest(ref), folders.manifest(way[RENDER_CHATS])
    gathered = folders.manifest(way[GATHER_IMAGES]) if GATHER_IMAGES in way else None
    examples = folders.manifest(way[DETECT_FORMATS])
    shard = examples.payload["shard"]
    records, described = folders.records(shard["content"])
    first = named[0] if named else {}
    whole = ShardLineage(
        source=first.get("source") or shard["source"],
        file=first.get("file") or described.get("file", ""),
        rows_in=described.get("rows", examples.ledger.rows_in if examples.ledger else 0),
        formats=examples.facts.get("formats", {}),
        tokens=folders.path(tokens),
        rendered=folders.path(rendered),
        gathered=folders.path(gathered) if gathered else None,
        examples=folders.path(examples),
        records=records,
        number=number,
    )
    yield from _parts_of(whole, named) if "start" in first else [whole]


def _parts_of(whole: ShardLineage, named: list[dict[str, Any]]) -> Iterator[ShardLineage]:
    formats = read_columns(whole.examples / "examples.arrow", ["row", "format"])
    for one in named:
        part = Part(one["file"], one["start"], one["first_row"], one["rows"])
        own = replace(whole, file=part.file, rows_in=part.rows, part=part)
        counts = Counter(own.own(formats)["format"].to_pylist())
        yield replace(own, formats=dict(counts.most_common()))


def _ingested_shards(root: Path) -> Iterator[tuple[float, Path, dict[str, Any]]]:
    """Yield creation time, Arrow file, and manifest entry with `file`, of every shard of every ingest artifact."""
    for path in (root / ARTIFACTS / INGEST_SOURCES).rglob(MANIFEST):
        manifest = _read_manifest(path)
        if manifest is None:
            continue
        files: dict[str, list[dict[str, Any]]] = manifest.facts.get("files", {})
        for shard in manifest.facts["shards"]:
            only = files.get(shard.get("source", ""), [])
            file = shard.get("file") or (only[0]["path"] if len(only) == 1 else "")
            yield manifest.made_at, path.parent / shard["path"], {**shard, "file": file}


def _read_manifest(path: Path) -> Manifest | None:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
