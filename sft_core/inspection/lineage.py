"""From a packed data set back through every stage: which folders hold the rows of its shards, and which file they came
from.

Manifests name what they were made from, so the way back needs nothing but the store:

    data set ──▶ token ids ──▶ text ──▶ examples ──▶ records in the ingest artifact

Where an artifact that was read is gone, another one of the same content takes its place: a stage whose code changed has
written the same bytes again under another key.

Between text and examples lie the examples with their images gathered, where rows have some.
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

ARTIFACTS = "artifacts"
DATASET_STAGE = "pack_shards"


@dataclass(frozen=True, slots=True)
class ShardLineage:
    """One shard of a data set: where its rows came from, and the folder of each stage that they went through."""

    source: str
    file: str
    """Of its rows; empty if the store does not know it any more."""
    rows_in: int
    formats: dict[str, int]
    tokens: Path
    rendered: Path
    examples: Path
    records: Path
    """The Arrow file."""
    number: int = 0
    """Of the artifacts that hold it, among those of the data set: shards that small files share have one number."""
    part: Part | None = None
    """Which of the rows in those artifacts are its own, and what its file calls them; None: all, as they are called."""
    gathered: Path | None = None
    """Where the images of its rows were gathered; None where none of them has any."""

    def own(self, table: pa.Table) -> pa.Table:
        """Of a stage's table, which has `row`, the rows of this shard, with the numbers that they have in its file."""
        if self.part is None:
            return table
        row = table["row"].to_numpy()
        start, stop = np.searchsorted(row, [self.part.start, self.part.start + self.part.rows])
        numbers = pa.array(rows_in_files([self.part], row[start:stop]), pa.int64())
        return table.slice(start, stop - start).set_column(table.schema.get_field_index("row"), "row", numbers)


@dataclass(frozen=True, slots=True)
class Lineage:
    """A data set and its shards, in the order that `SEGMENTS` counts in; a shard that several small files share is one
    for each of them here."""

    manifest: Manifest
    folder: Path
    shards: tuple[ShardLineage, ...]

    @property
    def splits(self) -> dict[str, dict[str, Any]]:
        """Of each split that has rows: rows, blocks, tokens, digest."""
        return dict(self.manifest.facts["splits"])

    @property
    def max_length(self) -> int | None:
        """Tokens a row may have, and a block can hold."""
        limit: int | None = self.manifest.payload["inputs"]["capacity"]
        return limit

    def segments(self, split: str) -> pa.Table:
        """Which part of which row lies in which block (`SEGMENTS`)."""
        return read_columns(self.folder / f"{split}-segments.arrow")

    def block_lengths(self, split: str) -> list[int]:
        """Tokens of every block."""
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
        RecipeError: if an artifact on the way is gone.
    """
    manifest = store.manifest(dataset)
    folders = _Folders(store.root)
    tokens, ways = _read_from(manifest, "tokenize_chats"), _ways(manifest)
    named = iter(manifest.facts.get("shards") or [])
    counts = manifest.facts.get("parts_per_shard") or [1] * len(tokens)
    shards = tuple(
        shard
        for number, (ref, way, count) in enumerate(zip(tokens, ways, counts, strict=True))
        for shard in _follow(folders, ref, way, number, list(itertools.islice(named, count)))
    )
    return Lineage(manifest, store.path(dataset), shards)


def find_dataset(folder: Path) -> tuple[ArtifactStore, ArtifactRef, Manifest]:
    """Find the data set behind a folder: its own, or that of a training or evaluation made from it.

    Args:
        folder: An artifact's folder, or one inside it (`…/train`, `…/model`).

    Returns:
        The store, the data set, and the manifest of the folder itself.

    Raises:
        RecipeError: if the folder is no artifact, or one that comes before packing.
    """
    for candidate in (folder.resolve(), *folder.resolve().parents[:2]):
        manifest = _read_manifest(candidate / MANIFEST)
        if manifest is not None:
            break
    else:
        raise RecipeError(f"{folder}: expected a recipe, a data set or a training run's folder, found no {MANIFEST}")
    depth = len(Path(manifest.ref.folder).parts)
    store = ArtifactStore(root=candidate.parents[depth - 1])
    if manifest.ref.stage == DATASET_STAGE:
        return store, manifest.ref, manifest
    dataset = find_behind(store, manifest, DATASET_STAGE)
    if dataset is None:
        raise RecipeError(f"{folder}: `{manifest.ref.stage}` comes before packing; name what was made from its output")
    return store, dataset.ref, manifest


def find_artifact(store: ArtifactStore, stage: str, key: str) -> Manifest:
    """Find an artifact by its stage and key.

    Raises:
        RecipeError: if the store has none.
    """
    found = _Folders(store.root).find(stage, key)
    if found is None:
        raise _missing(stage, key)
    return found


def find_behind(store: ArtifactStore, manifest: Manifest, stage: str) -> Manifest | None:
    """Find the artifact of a stage that another one was made from; None if it was made from none.

    Raises:
        RecipeError: if it is gone.
    """
    refs = _read_from(manifest, stage)
    return _Folders(store.root).manifest(refs[0]) if refs else None


def _read_from(manifest: Manifest, stage: str) -> list[ArtifactRef]:
    """The artifacts of a stage that an artifact was made from, in order."""
    return [ref for ref in manifest.made_from if ref.stage == stage]


def _missing(stage: str, key: str) -> RecipeError:
    return RecipeError(f"the artifact {stage} {key} is missing or damaged; prepare the recipe again to rebuild it")


def read_columns(path: Path, names: list[str] | None = None) -> pa.Table:
    """Read some columns of an Arrow file without unpacking the others."""
    with pa.memory_map(str(path)) as file:
        schema = pa.ipc.open_file(file).schema
        wanted = None if names is None else [schema.get_field_index(name) for name in names if name in schema.names]
        return pa.ipc.open_file(file, options=pa.ipc.IpcReadOptions(included_fields=wanted)).read_all()


class _Folders:
    """The artifacts of a store by key; a stage's folders are listed once."""

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
        """The Arrow file of a shard's records, and what its ingest artifact says about it."""
        if self._ingested is None:
            found = sorted(_ingested_shards(self._root), key=lambda entry: entry[0])
            self._ingested = {shard["content_digest"]: (path, shard) for _, path, shard in found}
        return self._ingested.get(content_digest, (self._root / "missing", {}))


def _ways(manifest: Manifest) -> Iterator[dict[str, ArtifactRef]]:
    """[shards] stage → the artifact that a shard of a data set was before it was tokenized.

    A shard's own manifests do not tell: shards of equal content share them.
    """
    way: dict[str, ArtifactRef] = {}
    for ref in manifest.made_from:
        if ref.stage != "tokenize_chats":
            way[ref.stage] = ref
        if ref.stage == "render_chats":
            yield way
            way = {}


def _follow(
    folders: _Folders, ref: ArtifactRef, way: dict[str, ArtifactRef], number: int, named: list[dict[str, Any]]
) -> Iterator[ShardLineage]:
    """Follow one token shard; `named` is what the data set says of its shard, or of each part of it."""
    tokens, rendered = folders.manifest(ref), folders.manifest(way["render_chats"])
    gathered = folders.manifest(way["gather_images"]) if "gather_images" in way else None
    examples = folders.manifest(way["detect_formats"])
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
    """All shards of all ingest artifacts: when they were made, their Arrow file, and their description with `file`."""
    for path in (root / ARTIFACTS / "ingest_sources").rglob(MANIFEST):
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
