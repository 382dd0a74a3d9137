"""The store of artifacts: folders that exist completely or not at all, and are found by their inputs.

An artifact has two digests. Its *key* is the digest of its inputs, and part of the name of its folder. Its *content* is
the digest of its files, and enters the keys of the stages that read it. So if a stage runs again and writes the same
bytes under a new key, the stages after it are not run again.

    <root>/artifacts/<stage>/<name>-<key>/manifest.json    one artifact for the whole stage
    <root>/artifacts/<stage>/<settings>/<name>-<key>/…     one per shard; <settings>: digest of all inputs but the shard
    <root>/locks/<key>.lock                                held while one is being made
    <root>/images/<digest>                                 images that artifacts refer to (`sft_core.store.image_store`)
    <root>/work/<stage>/<name>-<key>/                      intermediate results of a stage that can be resumed

An artifact is written into a temporary folder; its files are flushed to disk and digested, the manifest comes last,
and one rename makes it exist. A folder without a valid manifest is not an artifact, whatever it contains. If two
processes want the same artifact, the work is done once: the second waits for the lock, which the kernel releases if the
first one dies.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from sft_core.store.durable import flush, link_or_copy, write_durably
from sft_core.store.fingerprint import Placement, canonical, digest, digest_bytes, digest_file
from sft_core.store.image_store import IMAGES_FILE, ImageStore, read_digests
from sft_core.store.ledger import Ledger
from sft_core.store.records import StageOutcome

PLACEMENT = "The store decides where artifacts are and that they are complete; the stages decide what is in them."
MANIFEST = "manifest.json"
FOLDER_KEY_DIGITS = 16
FORM = 3
"""Version of the manifest format. A manifest of another version is not read, and its artifact is made again."""


class ArtifactRef(BaseModel):
    """A pointer to an artifact, small enough to pass between tasks. Its identity is the artifact's content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    name: str
    key: str
    group: str = ""
    """Digest of all inputs but the shard, for artifacts that are made per shard; otherwise empty."""
    content: str = ""
    """Digest of the artifact's content; empty if the artifact is only planned."""

    def fingerprint(self) -> str:
        """Return the content digest, because how the artifact was made does not matter to the stages that read it.

        Raises:
            ValueError: if the artifact is only planned.
        """
        if not self.content:
            raise ValueError(f"{self.folder} is only planned: it has no content yet that a key could depend on")
        return self.content

    @property
    def folder(self) -> str:
        """Path of the artifact's folder below the root of the store."""
        return f"artifacts/{self._place}"

    @property
    def work_folder(self) -> str:
        """Path of the folder with intermediate results, below the root of the store."""
        return f"work/{self._place}"

    @property
    def _place(self) -> str:
        own = f"{self.name}-{self.key[:FOLDER_KEY_DIGITS]}"
        return "/".join(part for part in (self.stage, self.group, own) if part)


class FileEntry(BaseModel):
    """One file of an artifact."""

    path: str
    num_bytes: int
    digest: str


class Manifest(BaseModel):
    """Description of a complete artifact: its reference, its inputs, and its files."""

    form: Literal[3]
    ref: ArtifactRef
    payload: dict[str, Any]
    """Everything that entered the key."""
    made_from: list[ArtifactRef]
    """The artifacts that were read. Others with the same content may have replaced them since."""
    ledger: Ledger | None
    facts: dict[str, Any]
    files: list[FileEntry]
    accepted: dict[str, Any] | None = None
    """Proof that the code in the payload gives the same result, for an artifact that earlier code made; else None."""
    made_by: str
    """Id of the run that made the artifact; other runs may have reused it."""
    made_at: float
    """Start of the work, in seconds since 1970."""
    seconds: float
    """Duration of the work."""


class Plan(BaseModel):
    """An artifact that may not exist yet: its reference and the payload behind its key."""

    model_config = ConfigDict(frozen=True)

    ref: ArtifactRef
    payload: dict[str, Any]
    made_from: tuple[ArtifactRef, ...] = ()
    """The artifacts among the inputs, and those behind them that are only recorded."""


def plan_artifact(stage: str, name: str, payload: Mapping[str, Any], behind: Sequence[ArtifactRef] = ()) -> Plan:
    """Compute the key of an artifact from its inputs.

    Args:
        stage: The stage that makes it.
        name: First part of the folder's name, for people.
        payload: Everything that its content depends on.
        behind: Artifacts that it depends on indirectly; they are recorded, but are not part of the key.
    """
    identity = canonical({"stage": stage, **payload})
    ref = ArtifactRef(stage=stage, name=name, key=digest(identity))
    return Plan(ref=ref, payload=identity, made_from=(*_artifacts_in(payload), *behind))


def plan_shards(stage: str, payload: Mapping[str, Any], shards: Sequence[tuple[str, Any]]) -> list[Plan]:
    """Compute the keys of the artifacts of all shards of a stage, which share a folder.

    Args:
        stage: The stage that makes them.
        payload: Everything that their content depends on, except the shard.
        shards: Name and identity of each shard.
    """
    shared, made_from = canonical({"stage": stage, **payload}), tuple(_artifacts_in(payload))
    group = digest(shared)[:FOLDER_KEY_DIGITS]
    plans = []
    for name, shard in shards:
        identity = {**shared, "shard": canonical(shard)}
        ref = ArtifactRef(stage=stage, name=name, key=digest(identity), group=group)
        plans.append(Plan(ref=ref, payload=identity, made_from=(*made_from, *_artifacts_in(shard))))
    return plans


def _artifacts_in(value: Any) -> Iterator[ArtifactRef]:
    """Yield all artifacts that a value refers to, in order."""
    if isinstance(value, ArtifactRef):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _artifacts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _artifacts_in(item)
    elif is_dataclass(value) and not isinstance(value, type | Placement):
        for entry in fields(value):
            yield from _artifacts_in(getattr(value, entry.name))


class ArtifactStore(BaseModel, Placement):
    """All artifacts below one root folder."""

    model_config = ConfigDict(frozen=True)

    root: Path
    made_by: str = ""
    """Id of the current run, which is written into the manifests of the artifacts that it makes."""
    time_limits: dict[str, float] = {}
    """Stage → time limit of its work, in seconds."""
    accept_code: tuple[str, ...] = ()
    """Stages whose results by earlier code are reused if a check proves that they are still the same."""

    def path(self, ref: ArtifactRef) -> Path:
        """Return the path of the artifact's folder, whether it exists or not."""
        return self.root / ref.folder

    def work_path(self, ref: ArtifactRef) -> Path:
        """Return the path of a folder for intermediate results, which is kept after a failure.

        The next attempt to make the artifact finds its files again. It is removed once the artifact exists.
        """
        return self.root / ref.work_folder

    def find(self, ref: ArtifactRef) -> Manifest | None:
        """Return the manifest if it is readable, has this key, and all its files exist with the recorded sizes; else
        None."""
        folder = self.path(ref)
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
            is_whole = all((folder / file.path).stat().st_size == file.num_bytes for file in manifest.files)
        except (OSError, ValidationError):
            return None
        return manifest if is_whole and manifest.ref.model_copy(update={"content": ref.content}) == ref else None

    def use(self, ref: ArtifactRef) -> Manifest | None:
        """Return what `find` returns, but None if an image that the artifact refers to is missing.

        The modification time of the manifest is set to now, which records the use for `sft_core.store.retention`.
        """
        manifest = self.find(ref)
        if manifest is not None and not self._has_images_of(manifest):
            return None
        if manifest is not None:
            with contextlib.suppress(OSError):  # the file may belong to another user
                os.utime(self.path(ref) / MANIFEST)
        return manifest

    def _has_images_of(self, manifest: Manifest) -> bool:
        if not any(file.path == IMAGES_FILE for file in manifest.files):
            return True
        images = ImageStore.below(self.root)
        return all(images.has(digest) for digest in read_digests(self.path(manifest.ref)))

    def manifest(self, ref: ArtifactRef) -> Manifest:
        """Return the manifest of an artifact that must exist.

        Raises:
            FileNotFoundError: if it does not, or is damaged.
        """
        manifest = self.find(ref)
        if manifest is None:
            raise FileNotFoundError(
                f"artifact {self.path(ref)} is missing or damaged; run the recipe again to rebuild it"
            )
        return manifest

    def build(self, plan: Plan, write: Callable[[Path], StageOutcome]) -> ArtifactRef:
        """Make the artifact unless it exists.

        Args:
            plan: What to make.
            write: Fills a folder, and returns what the manifest is to contain. If it fails, the folder is removed.

        Returns:
            The reference of the artifact, with its content digest.
        """
        with self.lock(plan.ref.key):
            found = self.use(plan.ref)
            return found.ref if found is not None else self._make(plan, write)

    def adopt(self, plan: Plan, earlier: Manifest, proof: dict[str, Any]) -> ArtifactRef:
        """Make an existing artifact available under another key too. Its files are hard-linked and not copied, if the
        file system supports it.

        Args:
            plan: The plan with the other key.
            earlier: The manifest of the existing artifact.
            proof: Evidence that carrying out the plan would give the same artifact; stored in the manifest.

        Returns:
            The reference of the artifact under the new key.
        """
        with self.lock(plan.ref.key):
            found = self.use(plan.ref)
            if found is not None:
                return found.ref
            ref = plan.ref.model_copy(update={"content": earlier.ref.content})
            made_from = list(plan.made_from)
            manifest = earlier.model_copy(
                update={"ref": ref, "payload": plan.payload, "made_from": made_from, "accepted": proof}
            )
            with self._filled(plan) as folder:
                for file in earlier.files:
                    (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
                    link_or_copy(self.path(earlier.ref) / file.path, folder / file.path)
                write_durably(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())
        return ref

    def manifests(self, stage: str) -> Iterator[Manifest]:
        """Yield the manifests of all artifacts of a stage, in order of their last use."""
        paths = (self.root / "artifacts" / stage).rglob(MANIFEST)
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            with contextlib.suppress(OSError, ValidationError):
                manifest = Manifest.model_validate_json(path.read_bytes())
                if self.path(manifest.ref) == path.parent:
                    yield manifest

    def newest_like(self, ref: ArtifactRef) -> Manifest | None:
        """Return the manifest of the same stage and name that was last made or used, or None."""
        folders = (self.root / "artifacts" / ref.stage).rglob(f"{ref.name}-*/{MANIFEST}")
        for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
            with contextlib.suppress(OSError, ValidationError):
                return Manifest.model_validate_json(path.read_bytes())
        return None

    def sweep(self) -> None:
        """Remove unfinished artifacts of processes that were killed, which are those whose lock is free.

        Work folders are kept, because they are needed to resume a stage, unless their artifact exists: then their
        removal was interrupted, and is completed.
        """
        work = self.root / "work"
        for folder in work.glob("*/*"):
            with contextlib.suppress(OSError, ValidationError):
                manifest = self.root / "artifacts" / folder.relative_to(work) / MANIFEST
                if self.find(Manifest.model_validate_json(manifest.read_bytes()).ref):
                    shutil.rmtree(folder)
        for folder in self._unfinished.glob("*.*"):
            with contextlib.suppress(BlockingIOError), self.lock(folder.suffix.removeprefix("."), fcntl.LOCK_NB):
                shutil.rmtree(folder, ignore_errors=True)

    @property
    def code_folder(self) -> Path:
        """Folder of the files that list which functions each code digest in a key covers."""
        return self.root / "code"

    @property
    def _unfinished(self) -> Path:
        return self.root / "unfinished"

    @contextlib.contextmanager
    def lock(self, name: str, mode: int = 0) -> Iterator[None]:
        """Hold a lock among all processes that use this root; the kernel releases it if the holder dies.

        Args:
            name: An artifact's key, or the name of another task that only one process may do at a time.
            mode: `fcntl.LOCK_NB` raises `BlockingIOError` instead of waiting.
        """
        self.lock_file(name).parent.mkdir(parents=True, exist_ok=True)
        with self.lock_file(name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | mode)
            yield

    def lock_file(self, name: str) -> Path:
        """Return the path of the file that is locked while a lock is held."""
        return self.root / "locks" / f"{name}.lock"

    def _make(self, plan: Plan, write: Callable[[Path], StageOutcome]) -> ArtifactRef:
        started = time.time()
        with self._filled(plan) as folder:
            outcome = write(folder)
            files = [_enter(file, folder) for file in sorted(folder.rglob("*")) if file.is_file()]
            manifest = Manifest(
                form=FORM,
                ref=plan.ref.model_copy(update={"content": _content(files, outcome)}),
                payload=plan.payload,
                made_from=list(plan.made_from),
                ledger=outcome.ledger,
                facts=outcome.facts or {},
                files=files,
                made_by=self.made_by,
                made_at=started,
                seconds=time.time() - started,
            )
            write_durably(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())
        shutil.rmtree(self.work_path(plan.ref), ignore_errors=True)
        return manifest.ref

    @contextlib.contextmanager
    def _filled(self, plan: Plan) -> Iterator[Path]:
        """Yield a temporary folder. It becomes the artifact's folder after the block, and is removed if that fails."""
        final = self.path(plan.ref)
        self._unfinished.mkdir(parents=True, exist_ok=True)
        prefix, suffix = f"{plan.ref.stage}-{plan.ref.name}-", f".{plan.ref.key}"
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=self._unfinished))
        try:
            yield folder
            folder.chmod(0o755)
            if final.exists():  # damaged: it has no valid manifest
                shutil.rmtree(final)
            final.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(final)
            flush(final.parent)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _content(files: Sequence[FileEntry], outcome: StageOutcome) -> str:
    """Digest what later stages can read: files, facts and the ledger, without those that are declared incidental."""
    facts = {name: value for name, value in (outcome.facts or {}).items() if name not in outcome.incidental}
    held = {file.path: file.digest for file in files if file.path not in outcome.incidental}
    ledger = outcome.ledger.model_dump() if outcome.ledger else None
    return digest_bytes([orjson.dumps([held, facts, ledger], option=orjson.OPT_SORT_KEYS)])


def _enter(file: Path, folder: Path) -> FileEntry:
    """Flush one file to disk and describe it."""
    flush(file)
    path = file.relative_to(folder).as_posix()
    return FileEntry(path=path, num_bytes=file.stat().st_size, digest=digest_file(file))
