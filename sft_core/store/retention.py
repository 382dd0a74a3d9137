"""What in a home is still needed, and what is not.

An artifact is kept if something outside of the store needs it (a registered version, a run), or if it was made or used
lately; and then all that it was made from, and so on back to the records, so that it can be traced and its recipe runs
again from what is there. A report or a scorecard is kept as long as all that it is about:

    version sums/3 ──▶ training ──▶ data set ──▶ token ids ──▶ text ──▶ examples ──▶ records
                        scorecard ┘   report ┘

An image is kept as long as an artifact that refers to it; what runs said, in `logs` and `reports`, while it is recent.

An artifact's manifest names the artifacts that it was made from, and shards of records by their content; a plan names
the folder of the model that a training began with. Where an artifact that was read is gone, all others of the same
stage and content stay in its place.

Nothing is removed that somebody holds the lock of, or that was used after it was looked at.
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

RESULTS = frozenset({"report_data", "evaluate_model"})
"""Stages whose artifacts only tell something about others."""
PLANS = ("plan.json", "model/base_model.json", "model/adapter_config.json")
_FOLDER_IN_PLAN = re.compile(rf"artifacts/(?:[^/\"]+/){{1,2}}[^/\"]+-([0-9a-f]{{{FOLDER_KEY_DIGITS}}})")
FILES = frozenset({"image", "log", "report"})
"""Kinds of which each piece is a file."""
Kind = Literal["artifact", "image", "work", "unfinished", "download", "log", "report", "model", "run"]


@dataclass(frozen=True, slots=True)
class Roots:
    """What is needed from outside of the store, and why."""

    keys: Mapping[str, str] = field(default_factory=dict)
    """Key of an artifact → who needs it."""
    made_by: Mapping[str, str] = field(default_factory=dict)
    """Id of the run that made an artifact → who needs what it made."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A folder of the home, or a file in it, and whether it goes."""

    kind: Kind
    path: Path
    used_at: float
    """When it was last made, used or written to, in seconds since 1970."""
    key: str = ""
    """Of an artifact, or the part of it that names a work folder: what its lock is called by."""
    kept_for: str | None = None
    """Why it stays; None: it goes."""
    why: str = ""
    """Why it goes."""


@dataclass(frozen=True, slots=True)
class Pruning:
    """What goes, what stays, and how much that is."""

    going: tuple[Piece, ...]
    freed: tuple[int, ...]
    """Bytes on the disk that each frees, in this order."""
    kept: tuple[Piece, ...]

    @property
    def total_freed(self) -> int:
        """Bytes."""
        return sum(self.freed)

    def kept_by_reason(self) -> dict[str, dict[str, int]]:
        """Reason → how many `folders` and `files` stay for it, and the `bytes` that they take."""
        reasons: dict[str, list[Piece]] = {}
        for piece in self.kept:
            reasons.setdefault(piece.kept_for or "", []).append(piece)
        return {
            reason: {**count_kinds(pieces), "bytes": bytes_taken([piece.path for piece in pieces])}
            for reason, pieces in reasons.items()
        }


def count_kinds(pieces: Sequence[Piece]) -> dict[str, int]:
    """How many `folders` there are, and how many `files`."""
    files = sum(piece.kind in FILES for piece in pieces)
    return {"folders": len(pieces) - files, "files": files}


def judge_store(store: ArtifactStore, roots: Roots, used_since: float) -> list[Piece]:
    """Say of everything in a store whether it is needed; nothing is removed.

    Args:
        store: The store.
        roots: What is needed from outside.
        used_since: What was used after this stays, in seconds since 1970.
    """
    held = _read_all(store)
    kept = _kept(held, roots, used_since)
    artifacts = [
        Piece("artifact", found.folder, found.used_at, key, kept.get(key), "nothing that stays needs it")
        for key, found in held.items()
    ]
    return [
        *artifacts,
        *_unread(store, held, used_since),
        *_images(store, held, kept, used_since),
        *_unfinished(store, used_since),
        *_said(store, used_since),
    ]


def plan_pruning(pieces: Sequence[Piece]) -> Pruning:
    """Put what goes in the order of its removal: what was used last comes first, so that nothing loses what it was made
    from before it goes itself, should that be interrupted."""
    going = tuple(sorted((piece for piece in pieces if piece.kept_for is None), key=lambda piece: -piece.used_at))
    kept = tuple(piece for piece in pieces if piece.kept_for is not None)
    return Pruning(going, tuple(bytes_freed([piece.path for piece in going])), kept)


def remove(store: ArtifactStore, piece: Piece) -> bool:
    """Remove a folder or a file, unless somebody is at work on it or used it meanwhile.

    A folder leaves its place by one rename, so that there never is half of it.

    Returns:
        Whether it is gone.
    """
    with contextlib.ExitStack() as locks:
        try:
            for name in _lock_names(store, piece.key):
                locks.enter_context(store.lock(name, fcntl.LOCK_NB))
            if _used_at(piece.path) > piece.used_at:
                return False
            if piece.kind in FILES:
                piece.path.unlink()
                return True
            aside = store.root / "unfinished" / f"pruned-{piece.path.name}-{time.time_ns()}.{piece.key or 'pruned'}"
            aside.parent.mkdir(parents=True, exist_ok=True)
            piece.path.rename(aside)
        except (BlockingIOError, FileNotFoundError):
            return False
        shutil.rmtree(aside, ignore_errors=True)  # what is left of it is swept
    return True


@dataclass(frozen=True, slots=True)
class _Held:
    manifest: Manifest
    folder: Path
    used_at: float


def _read_all(store: ArtifactStore) -> dict[str, _Held]:
    """All artifacts by key."""
    held = {}
    for depth in ("*/*", "*/*/*"):
        for path in (store.root / "artifacts").glob(f"{depth}/{MANIFEST}"):
            with contextlib.suppress(OSError, ValidationError):
                manifest = Manifest.model_validate_json(path.read_bytes())
                if store.path(manifest.ref) == path.parent:
                    held[manifest.ref.key] = _Held(manifest, path.parent, path.stat().st_mtime)
    return held


def _kept(held: Mapping[str, _Held], roots: Roots, used_since: float) -> dict[str, str]:
    """Key → why it is kept."""
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
    """Whether an artifact tells something about others, all of which stay."""
    return found.manifest.ref.stage in RESULTS and bool(named) and named <= kept.keys()


def _keep(key: str, reason: str, named: Mapping[str, set[str]], kept: dict[str, str]) -> None:
    """Keep an artifact and all that it was made from."""
    waiting = [key]
    while waiting:
        one = waiting.pop()
        if one not in kept:
            kept[one] = reason
            waiting += named[one]


def _names(held: Mapping[str, _Held]) -> dict[str, set[str]]:
    """Key → keys of the artifacts that it was made from, as far as they are there."""
    records: dict[str, set[str]] = {}
    for key, found in held.items():
        for shard in found.manifest.facts.get("shards") or []:
            if isinstance(shard, dict) and "content_digest" in shard and found.manifest.ref.stage == "ingest_sources":
                records.setdefault(shard["content_digest"], set()).add(key)
    of_content: dict[tuple[str, str], set[str]] = {}
    for key, found in held.items():
        of_content.setdefault((found.manifest.ref.stage, found.manifest.ref.content), set()).add(key)
    by_folder = {key[:FOLDER_KEY_DIGITS]: key for key in held}
    named = {}
    for key, found in held.items():
        keys = {one for word in set(_words(found.manifest.payload)) & records.keys() for one in records[word]}
        for ref in found.manifest.made_from:  # itself, or whatever has taken its place
            keys |= {ref.key} if ref.key in held else of_content.get((ref.stage, ref.content), set())
        planned = {by_folder[part] for part in _folders_in_plans(found.folder) if part in by_folder}
        named[key] = (keys | planned) - {key}
    return named


def _unread(store: ArtifactStore, held: Mapping[str, _Held], used_since: float) -> Iterator[Piece]:
    """Folders of artifacts whose manifest cannot be read: of an earlier version, or damaged."""
    known = {found.folder for found in held.values()}
    for depth in ("*/*", "*/*/*"):
        for path in sorted((store.root / "artifacts").glob(f"{depth}/{MANIFEST}")):
            if path.parent not in known:
                used_at = path.stat().st_mtime
                lately = "made or used lately" if used_at >= used_since else None
                yield Piece("artifact", path.parent, used_at, "", lately, "made by another version, or damaged")


def _images(
    store: ArtifactStore, held: Mapping[str, "_Held"], kept: Mapping[str, str], used_since: float
) -> Iterator[Piece]:
    """Images, and what killed processes left of some."""
    reasons = {
        digest: reason
        for key, reason in kept.items()
        if held[key].manifest.ref.stage == "gather_images"
        for digest in read_digests(held[key].folder)
    }
    for path in sorted(ImageStore.below(store.root).folder.glob("*/*")):
        with contextlib.suppress(FileNotFoundError):
            used_at = last_change(path)
            lately = "made or used lately" if used_at >= used_since else None
            reason = reasons.get(path.name) or lately
            yield Piece("image", path, used_at, "", reason, "no data that stays shows it")


def _words(value: Any) -> Iterator[str]:
    """All texts in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _words(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _words(item)


def _folders_in_plans(folder: Path) -> Iterator[str]:
    """The key's first digits of each artifact whose folder a plan names: a model that was begun with, or a base that
    an adapter stands on."""
    for name in PLANS:
        with contextlib.suppress(OSError):
            yield from _FOLDER_IN_PLAN.findall((folder / name).read_text(encoding="utf-8"))


def _unfinished(store: ArtifactStore, used_since: float) -> Iterator[Piece]:
    """Folders of trainings that were interrupted, what killed processes left, and models that were brought here."""
    places: dict[Kind, str] = {"work": "work/*/*", "unfinished": "unfinished/*.*", "download": "downloads/*"}
    why = {"work": "an interrupted training", "unfinished": "left by a process that was killed", "download": "a copy"}
    for kind, pattern in places.items():
        for folder in sorted(store.root.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):
                key = folder.suffix[1:] if kind == "unfinished" else folder.name[-FOLDER_KEY_DIGITS:]
                used_at = last_change(folder)
                reason = "made or used lately" if used_at >= used_since else None
                if kind != "download" and any(_is_locked(store, name) for name in _lock_names(store, key)):
                    reason = "somebody is at work on it"
                yield Piece(kind, folder, used_at, "" if kind == "download" else key, reason, why[kind])


def _said(store: ArtifactStore, used_since: float) -> Iterator[Piece]:
    """What runs said: the logs of their subprocesses, and the reports that they handed over to others."""
    places: dict[Kind, str] = {"log": "logs/*", "report": "reports/*"}
    for kind, pattern in places.items():
        for file in sorted(store.root.glob(pattern)):
            with contextlib.suppress(FileNotFoundError):
                used_at = last_change(file)
                reason = "made or used lately" if used_at >= used_since else None
                yield Piece(kind, file, used_at, "", reason, "of a run that is over")


def _lock_names(store: ArtifactStore, key: str) -> list[str]:
    """The locks of an artifact, of whose key the first digits may be all that is known."""
    return sorted(lock.stem for lock in (store.root / "locks").glob(f"{key}*.lock")) if key else []


def _is_locked(store: ArtifactStore, name: str) -> bool:
    try:
        with store.lock(name, fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True


def _used_at(folder: Path) -> float:
    manifest = folder / MANIFEST
    return manifest.stat().st_mtime if manifest.exists() else last_change(folder)
