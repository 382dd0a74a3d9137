"""Removal of files in the state directory that nothing needs any more, or a list of them."""

from typing import Any

from prefect import flow
from pydantic import BaseModel, Field

from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.artifact import ArtifactStore
from sft_core.store.retention import Pruning, StoreEntry
from tasks.home import open_store
from tasks.remove_unneeded import remove_unneeded


class Pruned(BaseModel):
    """Files and folders that are removed, and those that are kept."""

    status: str = "completed"
    is_dry_run: bool
    """True if the files were only listed and nothing was removed."""
    freed_bytes: int
    """Disk space that the removal frees, in total."""
    going: list[dict[str, Any]]
    """Each folder or file that is removed: kind, path, bytes freed, time of its last use, and the reason."""
    kept: dict[str, dict[str, int]]
    """Reason → number of `folders` and `files` that are kept for it, and the `bytes` that they take."""
    skipped: list[str] = Field(default_factory=list)
    """Folders and files that were to be removed but were kept, because a process began to use them meanwhile."""


@flow(name="prune-home")
def prune_home(
    keep_days: float = 14.0, keep_runs: int = 5, is_dry_run: bool = True, runtime: RuntimeConfig | None = None
) -> Pruned:
    """Remove artifacts and other files that no registered version, run, process or recent use needs.

    Args:
        keep_days: Number of days; files that were made or used within them are kept.
        keep_runs: Number of runs; files that the newest ones made are kept.
        is_dry_run: Only list the files that would be removed.
        runtime: Settings of the `runtime` section; `home` is the state directory.
    """
    store = open_store(runtime or RuntimeConfig())
    pruning, skipped = remove_unneeded(keep_days, keep_runs, is_dry_run, store=store)
    return _report(store, pruning, skipped, is_dry_run)


def _report(store: ArtifactStore, pruning: Pruning, skipped: list[StoreEntry], is_dry_run: bool) -> Pruned:
    stayed = {entry.path for entry in skipped}
    going = [
        {
            "kind": entry.kind,
            "path": str(entry.path.relative_to(store.root) if entry.path.is_relative_to(store.root) else entry.path),
            "bytes": freed,
            "used_at": entry.used_at,
            "why": entry.why,
        }
        for entry, freed in zip(pruning.going, pruning.freed, strict=True)
        if entry.path not in stayed
    ]
    return Pruned(
        is_dry_run=is_dry_run,
        freed_bytes=sum(one["bytes"] for one in going),
        going=going,
        kept=pruning.kept_by_reason(),
        skipped=[str(path) for path in sorted(stayed)],
    )
