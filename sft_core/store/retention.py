"""Decide which files of a state directory are still needed, and remove the others.

An artifact is kept if something outside of the store needs it (a registered version, a run), or if it was made or used
lately. Then everything that it was made from is kept too, back to the records, so that it can be traced and its recipe
can run again from the artifacts that exist. A report or a scorecard is kept as long as all artifacts that it describes:

    version sums/3 ──▶ training ──▶ data set ──▶ token ids ──▶ text ──▶ examples ──▶ records
                        scorecard ┘   report ┘

An image is kept as long as an artifact that refers to it; files in `logs` and `reports` are kept while they are recent.

An artifact's manifest names the artifacts that it was made from, and shards of records by their content; a plan names
the folder of the model that a training began with. If an artifact that was read no longer exists, all others of the
same stage and content are kept in its place.

Nothing is removed while a process holds its lock, or if it was used after the decision was made.
"""

import contextlib
import fcntl
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from sft_core.store.artifact import FOLDER_KEY_DIGITS, MANIFEST, ArtifactStore, Manifest
from sft_core.store.disk_use import bytes_freed, bytes_taken, last_change
from sft_core.store.image_store import ImageStore, read_digests
from sft_core.store.locks import is_locked
from sft_core.store.stages import EVALUATE_MODEL, GATHER_IMAGES, INGEST_SOURCES, REPORT_DATA

RESULTS = frozenset({REPORT_DATA, EVALUATE_MODEL})
"""Stages whose artifacts only describe other artifacts."""
PLANS = ("plan.json", "model/base_model.json", "model/adapter_config.json")
_FOLDER_IN_PLAN = re.compile(rf"artifacts/(?:[^/\"]+/){{1,2}}[^/\"]+-([0-9a-f]{{{FOLDER_KEY_DIGITS}}})")
FILES = frozenset({"image", "log", "report"})
"""Kinds whose entries are files; the entries of all others are folders."""
Kind = Literal["artifact", "image", "work", "unfinished", "download", "log", "report", "model", "run"]


@dataclass(frozen=True, slots=True)
class Roots:
    """Artifacts that something outside of the store needs, and the reasons."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """Key of an artifact → what needs it."""
    made_by: Mapping[str, str] = field(default_factory=dict)
    """Id of a run → what needs the artifacts that the run made."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """A folder or a file in the state directory, and whether it is to be removed."""

    kind: Kind
    path: Path
    used_at: float
    """Time at which it was last made, used or written to, in seconds since 1970."""
    key: str = ""
    """Key of the artifact, or the first digits of it that are in the name of a work folder; names the lock to hold."""
    kept_for: str | None = None
    """Reason why it is kept; None if it is to be removed."""
    why: str = ""
    """Reason why it can be removed."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """Entries to remove, entries to keep, and their sizes."""

    going: tuple[StoreEntry, ...]
    freed: tuple[int, ...]
    """[going] bytes on the disk that removing each frees, if they are removed in this order."""
    kept: tuple[StoreEntry, ...]

    @property
    def total_freed(self) -> int:
        """Bytes on the disk that removing all of them frees."""
        return sum(self.freed)

    def kept_by_reason(self) -> dict[str, dict[str, int]]:
        """Return reason → number of `folders` and `files` that are kept for it, and the `bytes` that they occupy."""
        reasons: dict[str, list[StoreEntry]] = {}
        for entry in self.kept:
            reasons.setdefault(entry.kept_for or "", []).append(entry)
        return {
            reason: {**count_kinds(entries), "bytes": bytes_taken([entry.path for entry in entries])}
            for reason, entries in reasons.items()
        }


def count_kinds(entries: Sequence[StoreEntry]) -> dict[str, int]:
    """Count entries: return the numbers of `folders` and of `files`."""
    files = sum(entry.kind in FILES for entry in entries)
    return {"folders": len(entries) - files, "files": files}


def judge_store(store: ArtifactStore, roots: Roots, used_since: float) -> list[StoreEntry]:
    """Decide for every entry of a store whether it is needed. Nothing is removed.

    Args:
        store: The store.
        roots: Artifacts that something outside of the store needs.
        used_since: Entries that were used at this time or later are kept, in seconds since 1970.
    """
    held = _read_all(store)
    kept = _kept(held, roots, used_since)
    artifacts = [
        StoreEntry("artifact", found.folder, found.used_at, key, kept.get(key), "nothing that is kept needs it")
        for key, found in held.items()
    ]
    return [
        *artifacts,
        *_unread(store, held, used_since),
        *_images(store, held, kept, used_since),
        *_unfinished(store, used_since),
        *_outputs_of_runs(store, used_since),
    ]


def plan_pruning(entries: Sequence[StoreEntry]) -> Pruning:
    """Sort the entries to remove: the most recently used one comes first.

    So if the removal is interrupted, no artifact is left whose inputs are already removed.
    """
    going = tuple(sorted((entry for entry in entries if entry.kept_for is None), key=lambda entry: -entry.used_at))
    kept = tuple(entry for entry in entries if entry.kept_for is not None)
    return Pruning(going, tuple(bytes_freed([entry.path for entry in going])), kept)


def remove(store: ArtifactStore, entry: StoreEntry) -> bool:
    """Remove a folder or a file, unless a process works on it or has used it since the decision.

    A folder is first renamed, so that there never is an incomplete one in its place.

    Returns:
        True if it was removed.
    """
    with contextlib.ExitStack() as locks:
        try:
            for name in _lock_names(store, entry.key):
                locks.enter_context(store.lock(name, fcntl.LOCK_NB))
            if _used_at(entry.path) > entry.used_at:
                return False
            if entry.kind in FILES:
                entry.path.unlink()
                return True
            aside = store.root / "unfinished" / f"pruned-{entry.path.name}-{time.time_ns()}.{entry.key or 'pruned'}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            entry.path.rename(aside)
        except (BlockingIOError, FileNotFoundError):
            return False
        shutil.rmtree(aside, ignore_errors=True)  # `ArtifactStore.sweep` removes the rest
    return True


@dataclass(frozen=True, slots=True)
class _Held:
    manifest: Manifest
    folder: Path
    used_at: float


def _read_all(store: ArtifactStore) -> dict[str, _Held]:
    held = {}
    for depth in ("*/*", "*/*/*"):
        for path in (store.root / "artifacts").glob(f"{depth}/{MANIFEST}"):
            with contextlib.suppress(OSError, ValidationError):
                manifest = Manifest.model_validate_json(path.read_bytes())
                if store.path(manifest.ref) == path.parent:
                    held[manifest.ref.key] = _Held(manifest, path.parent, path.stat().st_mtime)
    return held


def _kept(held: Mapping[str, _Held], roots: Roots, used_since: float) -> dict[str, str]:
    """Return key → reason why the artifact is kept."""
    named = _names(held)
    kept: dict[str, str] = {}
    for key, found in held.items():
        reason = roots.keys.get(key) or roots.made_by.get(found.manifest.made_by)
        if reason is None and found.used_at >= used_since:
            reason = "made or used lately"
        if reason is not None:
            _keep(key, reason, named, kept)
    while results := [key for key in held if key not in kept and _is_about(held[key], named[key], kept)]:
        for key in results:
            _keep(key, kept[min(named[key])], named, kept)
    return kept


def _is_about(found: _Held, named: set[str], kept: Mapping[str, str]) -> bool:
    """Return True if an artifact only describes other artifacts, and all of these are kept."""
    return found.manifest.ref.stage in RESULTS and bool(named) and named <= kept.keys()


def _keep(key: str, reason: str, named: Mapping[str, set[str]], kept: dict[str, str]) -> None:
    """Keep an artifact and everything that it was made from."""
    waiting = [key]
    while waiting:
        one = waiting.pop()
        if one not in kept:
            kept[one] = reason
            waiting += named[one]


def _names(held: Mapping[str, _Held]) -> dict[str, set[str]]:
    """Return key → keys of the artifacts that it was made from, as far as they exist."""
    records: dict[str, set[str]] = {}
    for key, found in held.items():
        for shard in found.manifest.facts.get("shards") or []:
            if isinstance(shard, dict) and "content_digest" in shard and found.manifest.ref.stage == INGEST_SOURCES:
                records.setdefault(shard["content_digest"], set()).add(key)
    of_content: dict[tuple[str, str], set[str]] = {}
    for key, found in held.items():
        of_content.setdefault((found.manifest.ref.stage, found.manifest.ref.content), set()).add(key)
    by_folder = {key[:FOLDER_KEY_DIGITS]: key for key in held}
    named = {}
    for key, found in held.items():
        keys = {one for word in set(_words(found.manifest.payload)) & records.keys() for one in records[word]}
        for ref in found.manifest.made_from:  # the artifact itself, or those with the same content
            keys |= {ref.key} if ref.key in held else of_content.get((ref.stage, ref.content), set())
        planned = {by_folder[part] for part in _folders_in_plans(found.folder) if part in by_folder}
        named[key] = (keys | planned) - {key}
    return named


def _unread(store: ArtifactStore, held: Mapping[str, _Held], used_since: float) -> Iterator[StoreEntry]:
    """Yield folders of artifacts whose manifest is from an earlier version or damaged, and cannot be read."""
    known = {found.folder for found in held.values()}
    for depth in ("*/*", "*/*/*"):
        for path in sorted((store.root / "artifacts").glob(f"{depth}/{MANIFEST}")):
            if path.parent not in known:
                used_at = path.stat().st_mtime
                lately = "made or used lately" if used_at >= used_since else None
                yield StoreEntry("artifact", path.parent, used_at, "", lately, "made by another version, or damaged")


def _images(
    store: ArtifactStore, held: Mapping[str, "_Held"], kept: Mapping[str, str], used_since: float
) -> Iterator[StoreEntry]:
    """Yield images, also incomplete ones that killed processes left."""
    reasons = {
        digest: reason
        for key, reason in kept.items()
        if held[key].manifest.ref.stage == GATHER_IMAGES
        for digest in read_digests(held[key].folder)
    }
    for path in sorted(ImageStore.below(store.root).folder.glob("*/*")):
        with contextlib.suppress(FileNotFoundError):
            used_at = last_change(path)
            lately = "made or used lately" if used_at >= used_since else None
            reason = reasons.get(path.name) or lately
            yield StoreEntry("image", path, used_at, "", reason, "no data that is kept refers to it")


def _words(value: Any) -> Iterator[str]:
    """Yield all texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)


def _folders_in_plans(folder: Path) -> Iterator[str]:
    """Yield the first digits of the key of each artifact whose folder a plan names.

    It is the model that a training began with, or the base model of an adapter.
    """
    for name in PLANS:
        with contextlib.suppress(OSError):
            yield from _FOLDER_IN_PLAN.findall((folder / name).read_text(encoding="utf-8"))


def _unfinished(store: ArtifactStore, used_since: float) -> Iterator[StoreEntry]:
    """Yield work folders of interrupted trainings, unfinished folders of killed processes, and downloaded models."""
    places: dict[Kind, str] = {"work": "work/*/*", "unfinished": "unfinished/*.*", "download": "downloads/*"}
    why = {"work": "an interrupted training", "unfinished": "left by a process that was killed", "download": "a copy"}
    for kind, pattern in places.items():
        for folder in sorted(store.root.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):
                key = folder.suffix[1:] if kind == "unfinished" else folder.name[-FOLDER_KEY_DIGITS:]
                used_at = last_change(folder)
                reason = "made or used lately" if used_at >= used_since else None
                if kind != "download" and any(is_locked(store.lock_file(name)) for name in _lock_names(store, key)):
                    reason = "somebody is at work on it"
                yield StoreEntry(kind, folder, used_at, "" if kind == "download" else key, reason, why[kind])


def _outputs_of_runs(store: ArtifactStore, used_since: float) -> Iterator[StoreEntry]:
    """Yield the logs of the subprocesses of runs, and the reports that runs passed on."""
    places: dict[Kind, str] = {"log": "logs/*", "report": "reports/*"}
    for kind, pattern in places.items():
        for file in sorted(store.root.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):
                used_at = last_change(file)
                reason = "made or used lately" if used_at >= used_since else None
                yield StoreEntry(kind, file, used_at, "", reason, "of a run that is over")


def _lock_names(store: ArtifactStore, key: str) -> list[str]:
    """Return the names of the locks of an artifact, given its key or only the first digits of it."""
    return sorted(lock.stem for lock in (store.root / "locks").glob(f"{key}*.lock")) if key else []


def _used_at(folder: Path) -> float:
    manifest = folder / MANIFEST
    return manifest.stat().st_mtime if manifest.exists() else last_change(folder)
