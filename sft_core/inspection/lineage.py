"""From a packed data set back through every stage: which folders hold the rows of its shards, and which file they came
from.

Manifests name what they were made from by key, so the way back needs nothing but the store:

    data set ──tokens──▶ token ids ──shard──▶ text ──shard──▶ examples ──content──▶ records in the ingest artifact
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from sft_core.artifact import FOLDER_KEY_DIGITS, MANIFEST, ArtifactRef, ArtifactStore, Manifest
from sft_core.errors import RecipeError

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


@dataclass(frozen=True, slots=True)
class Lineage:
    """A data set and its shards, in the order that `SEGMENTS` counts in."""

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
    named = manifest.facts.get("shards") or []
    folders = _Folders(store.root)
    keys: list[str] = manifest.payload["inputs"]["tokens"]
    shards = tuple(
        _follow(folders, key, named[number] if number < len(named) else {}) for number, key in enumerate(keys)
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
    key = manifest.payload.get("inputs", {}).get("dataset")
    if key is None:
        raise RecipeError(f"{folder}: `{manifest.ref.stage}` comes before packing; name what was made from its output")
    return store, find_artifact(store, DATASET_STAGE, key).ref, manifest


def find_artifact(store: ArtifactStore, stage: str, key: str) -> Manifest:
    """Find an artifact by its stage and key.

    Raises:
        RecipeError: if the store has none.
    """
    return _Folders(store.root).manifest(stage, key)


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
        self._ingested: dict[str, tuple[Path, dict[str, Any]]] | None = None

    def manifest(self, stage: str, key: str) -> Manifest:
        manifest = _read_manifest(self.folder(stage, key) / MANIFEST)
        if manifest is None or manifest.ref.key != key:
            raise RecipeError(
                f"the artifact {stage} {key} is missing or damaged; prepare the recipe again to rebuild it"
            )
        return manifest

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


def _follow(folders: _Folders, key: str, named: dict[str, Any]) -> ShardLineage:
    tokens = folders.manifest("tokenize_chats", key)
    rendered = folders.manifest("render_chats", tokens.payload["shard"])
    examples = folders.manifest("detect_formats", rendered.payload["shard"])
    shard = examples.payload["shard"]
    records, described = folders.records(shard["content"])
    return ShardLineage(
        source=named.get("source") or shard["source"],
        file=named.get("file") or described.get("file", ""),
        rows_in=described.get("rows", examples.ledger.rows_in if examples.ledger else 0),
        formats=examples.facts.get("formats", {}),
        tokens=folders.folder("tokenize_chats", key),
        rendered=folders.folder("render_chats", rendered.ref.key),
        examples=folders.folder("detect_formats", examples.ref.key),
        records=records,
    )


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
