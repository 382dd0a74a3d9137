"""Remove from a home what nothing needs any more, or say what that would be."""

from typing import Any

from prefect import flow
from pydantic import BaseModel, Field

from sft_core.processes.runtime import RuntimeConfig
from sft_core.store.artifact import ArtifactStore
from sft_core.store.retention import Piece, Pruning
from tasks.home import open_store
from tasks.remove_unneeded import remove_unneeded


class Pruned(BaseModel):
    """What goes and what stays."""

    status: str = "completed"
    is_dry_run: bool
    """Whether nothing was removed."""
    freed_bytes: int
    """On the disk, by all that goes."""
    going: list[dict[str, Any]]
    """Of each folder or file that goes: kind, path, bytes freed, when it was last used, why."""
    kept: dict[str, dict[str, int]]
    """Reason → `folders` and `files` that stay for it, and the `bytes` they take."""
    skipped: list[str] = Field(default_factory=list)
    """Folders and files that were to go, and stayed because somebody took them up meanwhile."""


@flow(name="prune-home")
def prune_home(
    keep_days: float = 14.0, keep_runs: int = 5, is_dry_run: bool = True, runtime: RuntimeConfig | None = None
) -> Pruned:
    """Remove what no registered version, run, process or recent use needs.

    Args:
        keep_days: What was made or used in the last days stays.
        keep_runs: What the newest runs made stays.
        is_dry_run: Only say what would go.
        runtime: Where the state is.
    """
    store = open_store(runtime or RuntimeConfig())
    pruning, skipped = remove_unneeded(keep_days, keep_runs, is_dry_run, store=store)
    return _report(store, pruning, skipped, is_dry_run)


def _report(store: ArtifactStore, pruning: Pruning, skipped: list[Piece], is_dry_run: bool) -> Pruned:
    stayed = {piece.path for piece in skipped}
    going = [
        {
            "kind": piece.kind,
            "path": str(piece.path.relative_to(store.root) if piece.path.is_relative_to(store.root) else piece.path),
            "bytes": freed,
            "used_at": piece.used_at,
            "why": piece.why,
        }
        for piece, freed in zip(pruning.going, pruning.freed, strict=True)
        if piece.path not in stayed
    ]
    return Pruned(
        is_dry_run=is_dry_run,
        freed_bytes=sum(one["bytes"] for one in going),
        going=going,
        kept=pruning.kept_by_reason(),
        skipped=[str(path) for path in sorted(stayed)],
    )
