"""The store of artifacts: folders that exist whole or not at all, found by what they were made from.

    <root>/artifacts/<stage>/<name>-<key>/manifest.json    one artifact for the whole stage
    <root>/artifacts/<stage>/<settings>/<name>-<key>/…     one per shard; <settings> digests all but the shard
    <root>/locks/<key>.lock                                held while one is being made
    <root>/images/<digest>                                 what artifacts refer to (`sft_core.image_store`)
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sft_core.durable import flush, write_durably
from sft_core.fingerprint import Placement, canonical, digest, digest_file, explain_difference
from sft_core.image_store import IMAGES_FILE, ImageStore, read_digests
from sft_core.ledger import Ledger
from sft_core.records import StageOutcome

MANIFEST = "manifest.json"
FOLDER_KEY_DIGITS = 16


class ArtifactRef(BaseModel):
    """A pointer to an artifact, small enough to pass between tasks. Its identity is its key."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str
    name: str
    key: str
    group: str = ""
    """Of per-shard artifacts: the digest of everything but the shard."""

    def fingerprint(self) -> str:
        """The key already stands for all that the artifact hangs on."""
        return self.key

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

    ref: ArtifactRef
    payload: dict[str, Any]
    """Everything that entered the key."""
    ledger: Ledger | None
    facts: dict[str, Any]
    files: list[FileEntry]
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


def plan_artifact(stage: str, name: str, payload: dict[str, Any], varying: tuple[str, ...] = ()) -> Plan:
    """Name an artifact by what it will be made from.

    Args:
        stage: The task's name.
        name: For people: the first part of the folder's name.
        payload: All that its content hangs on.
        varying: Fields of the payload that tell one shard from the next; the digest of all others groups the folders.
    """
    fields = canonical({"stage": stage, **payload})
    shared = {field: value for field, value in fields.items() if field not in varying}
    group = digest(shared)[:FOLDER_KEY_DIGITS] if varying else ""
    return Plan(ref=ArtifactRef(stage=stage, name=name, key=digest(fields), group=group), payload=fields)


class ArtifactStore(BaseModel, Placement):
    """All artifacts below one root folder."""

    model_config = ConfigDict(frozen=True)

    root: Path
    made_by: str = ""
    """Written into the manifests of what is made through this object."""
    time_limits: dict[str, float] = {}
    """Stage → seconds that its work may take."""

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
        return manifest if whole and manifest.ref == ref else None

    def use(self, ref: ArtifactRef) -> Manifest | None:
        """As `find`, if all images that it refers to are here too; and remember on the manifest's time of change that
        it was of use now (`sft_core.retention`)."""
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
            if self.use(plan.ref) is None:
                self._make(plan, write)
        return plan.ref

    def explain_miss(self, plan: Plan) -> list[str]:
        """Say which fields of the key changed against the artifact of the same stage and name that was last made or
        used; empty if there is none."""
        stage_folder = self.root / "artifacts" / plan.ref.stage
        manifests = sorted(stage_folder.rglob(f"{plan.ref.name}-*/{MANIFEST}"), key=lambda path: path.stat().st_mtime)
        for path in reversed(manifests):
            with contextlib.suppress(OSError, ValidationError):
                return explain_difference(plan.payload, Manifest.model_validate_json(path.read_bytes()).payload)
        return []

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

    def _make(self, plan: Plan, write: Callable[[Path], StageOutcome]) -> None:
        started = time.time()
        final = self.path(plan.ref)
        self._unfinished.mkdir(parents=True, exist_ok=True)
        prefix, suffix = f"{plan.ref.stage}-{plan.ref.name}-", f".{plan.ref.key}"
        folder = Path(tempfile.mkdtemp(prefix=prefix, suffix=suffix, dir=self._unfinished))
        try:
            outcome = write(folder)
            manifest = Manifest(
                ref=plan.ref,
                payload=plan.payload,
                ledger=outcome.ledger,
                facts=outcome.facts or {},
                files=[_enter(file, folder) for file in sorted(folder.rglob("*")) if file.is_file()],
                made_by=self.made_by,
                made_at=started,
                seconds=time.time() - started,
            )
            write_durably(folder / MANIFEST, manifest.model_dump_json(indent=1).encode())
            folder.chmod(0o755)
            if final.exists():  # damaged: it has no valid manifest
                shutil.rmtree(final)
            final.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(final)
            flush(final.parent)
            shutil.rmtree(self.work_path(plan.ref), ignore_errors=True)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise


def _enter(file: Path, folder: Path) -> FileEntry:
    """Flush one file to disk and describe it."""
    flush(file)
    path = file.relative_to(folder).as_posix()
    return FileEntry(path=path, num_bytes=file.stat().st_size, digest=digest_file(file))
