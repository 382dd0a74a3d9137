"""The store of artifacts: folders that exist whole or not at all, found by what they were made from.

An artifact has two digests. Its *key* digests what it was made from, and names its folder. Its *content* digests what
it holds, and is what enters the keys of the stages that read it: a stage that runs again and writes the same bytes
under a new key costs only itself.

    <root>/artifacts/<stage>/<name>-<key>/manifest.json    one artifact for the whole stage
    <root>/artifacts/<stage>/<settings>/<name>-<key>/…     one per shard; <settings> digests all but the shard
    <root>/locks/<key>.lock                                held while one is being made
    <root>/images/<digest>                                 what artifacts refer to (`sft_core.store.image_store`)
    <root>/work/<stage>/<name>-<key>/                      of a stage that can go on where it was interrupted

An artifact is written into a temporary folder; its files are flushed to disk and digested, the manifest comes last,
and one rename makes it exist. A folder without a valid manifest does not exist, whatever lies in it. Two processes
that want the same artifact do the work once: the second waits for the lock, which the kernel releases if the first one
dies.
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

PLACEMENT = "The store decides where artifacts are and that they are whole; the stages decide what is in them."
MANIFEST = "manifest.json"
FOLDER_KEY_DIGITS = 16
FORM = 2
"""Of manifests. One of another form is not read: its artifact is made again."""


class ArtifactRef(BaseModel):
    """A pointer to an artifact, small enough to pass between tasks. Its identity is what the artifact holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    name: str
    key: str
    group: str = ""
    """Of per-shard artifacts: the digest of everything but the shard."""
    content: str = ""
    """The digest of what the artifact holds; empty of one that is only planned."""

    def fingerprint(self) -> str:
        """The content: how it came to be does not matter to the stages that read it.

        Raises:
            ValueError: if the artifact is only planned.
        """
        if not self.content:
            raise ValueError(f"{self.folder} is only planned: it has no content yet that a key could depend on")
        return self.content

    @property
    def folder(self) -> str:
        """Where it lies below the store's root."""
        return f"artifacts/{self._place}"

    @property
    def work_folder(self) -> str:
        """Where what is unfinished lies, below the store's root."""
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
    """What an artifact is, what it was made from, and that it is whole."""

    form: Literal[2]
    ref: ArtifactRef
    payload: dict[str, Any]
    """Everything that entered the key."""
    made_from: list[ArtifactRef]
    """The artifacts that were read. Others of the same content may have taken their place since."""
    ledger: Ledger | None
    facts: dict[str, Any]
    files: list[FileEntry]
    accepted: dict[str, Any] | None = None
    """Made by earlier code: the proof that the code in the payload gives the same."""
    made_by: str
    """The run that did the work; others reused it."""
    made_at: float
    """Seconds since 1970."""
    seconds: float


class Plan(BaseModel):
    """An artifact that may not exist yet: its reference and the payload behind its key."""

    model_config = ConfigDict(frozen=True)

    ref: ArtifactRef
    payload: dict[str, Any]
    made_from: tuple[ArtifactRef, ...] = ()
    """The artifacts among its inputs."""


def plan_artifact(stage: str, name: str, payload: Mapping[str, Any], behind: Sequence[ArtifactRef] = ()) -> Plan:
    """Name an artifact by what it will be made from.

    Args:
        stage: The stage that makes it.
        name: For people: the first part of the folder's name.
        payload: All that its content depends on.
        behind: Artifacts that it comes from by way of others; recorded, and in no key.
    """
    identity = canonical({"stage": stage, **payload})
    ref = ArtifactRef(stage=stage, name=name, key=digest(identity))
    return Plan(ref=ref, payload=identity, made_from=(*_artifacts_in(payload), *behind))


def plan_shards(stage: str, payload: Mapping[str, Any], shards: Sequence[tuple[str, Any]]) -> list[Plan]:
    """Name the artifacts of all shards of a stage, which share a folder.

    Args:
        stage: The stage that makes them.
        payload: All that their content depends on, but for the shard.
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
    """All artifacts that a value refers to, in order."""
    if isinstance(value, ArtifactRef):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _artifacts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _artifacts_in(item)
    elif is_dataclass(value) and not isinstance(value, type):
        for entry in fields(value):
            yield from _artifacts_in(getattr(value, entry.name))


class ArtifactStore(BaseModel, Placement):
    """All artifacts below one root folder."""

    model_config = ConfigDict(frozen=True)

    root: Path
    made_by: str = ""
    """Written into the manifests of what is made through this object."""
    time_limits: dict[str, float] = {}
    """Stage → seconds that its work may take."""
    accept_code: tuple[str, ...] = ()
    """Stages whose results by earlier code are kept where a proof holds."""

    def path(self, ref: ArtifactRef) -> Path:
        """The artifact's folder, whether it exists or not."""
        return self.root / ref.folder

    def work_path(self, ref: ArtifactRef) -> Path:
        """A folder that outlives failures: what lies there is found again when the artifact is made the next time, and
        is removed once the artifact exists."""
        return self.root / ref.work_folder

    def find(self, ref: ArtifactRef) -> Manifest | None:
        """Return the manifest if the artifact exists: readable, of this key, with all its files in their sizes."""
        folder = self.path(ref)
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
            whole = all((folder / file.path).stat().st_size == file.num_bytes for file in manifest.files)
        except (OSError, ValidationError):
            return None
        return manifest if whole and manifest.ref.model_copy(update={"content": ref.content}) == ref else None

    def use(self, ref: ArtifactRef) -> Manifest | None:
        """As `find`, if all images that it refers to are here too; and remember on the manifest's time of change that
        it was of use now (`sft_core.store.retention`)."""
        manifest = self.find(ref)
        if manifest is not None and not self._has_images_of(manifest):
            return None
        if manifest is not None:
            with contextlib.suppress(OSError):  # of another owner
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
            write: Fills a folder, and says what it wrote. If it fails, nothing of that folder is left.
        """
        with self.lock(plan.ref.key):
            found = self.use(plan.ref)
            return found.ref if found is not None else self._make(plan, write)

    def adopt(self, plan: Plan, earlier: Manifest, proof: dict[str, Any]) -> ArtifactRef:
        """Let an artifact exist under another key too: its files get a second name, and no second copy.

        Args:
            plan: The other key.
            earlier: The artifact.
            proof: Why it is what the plan would make.
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
        """All artifacts of a stage, the newest last."""
        paths = (self.root / "artifacts" / stage).rglob(MANIFEST)
        for path in sorted(paths, key=lambda path: path.stat().st_mtime):
            with contextlib.suppress(OSError, ValidationError):
                manifest = Manifest.model_validate_json(path.read_bytes())
                if self.path(manifest.ref) == path.parent:
                    yield manifest

    def newest_like(self, ref: ArtifactRef) -> Manifest | None:
        """The artifact of the same stage and name that was last made or used; None if there is none."""
        folders = (self.root / "artifacts" / ref.stage).rglob(f"{ref.name}-*/{MANIFEST}")
        for path in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
            with contextlib.suppress(OSError, ValidationError):
                return Manifest.model_validate_json(path.read_bytes())
        return None

    def sweep(self) -> None:
        """Remove what was left unfinished by processes that were killed: nobody holds the lock of it any more.

        Work folders stay: they are there to be gone on with. Of those whose artifact exists, only the removal was cut
        short.
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
        """Where it is recorded which functions the digests of code in the keys stand for."""
        return self.root / "code"

    @property
    def _unfinished(self) -> Path:
        return self.root / "unfinished"

    @contextlib.contextmanager
    def lock(self, name: str, mode: int = 0) -> Iterator[None]:
        """Hold a lock among all processes that use this root; the kernel releases it if the holder dies.

        Args:
            name: An artifact's key, or whatever else is to be done by one process at a time.
            mode: `fcntl.LOCK_NB` raises `BlockingIOError` instead of waiting.
        """
        locks = self.root / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | mode)
            yield

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
        """A temporary folder, which takes the artifact's place when the block ends, and is removed if it fails."""
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
    """Digest what a later stage can read: files, facts and the ledger, without what the stage calls incidental."""
    facts = {name: value for name, value in (outcome.facts or {}).items() if name not in outcome.incidental}
    held = {file.path: file.digest for file in files if file.path not in outcome.incidental}
    ledger = outcome.ledger.model_dump() if outcome.ledger else None
    return digest_bytes([orjson.dumps([held, facts, ledger], option=orjson.OPT_SORT_KEYS)])


def _enter(file: Path, folder: Path) -> FileEntry:
    """Flush one file to disk and describe it."""
    flush(file)
    path = file.relative_to(folder).as_posix()
    return FileEntry(path=path, num_bytes=file.stat().st_size, digest=digest_file(file))
