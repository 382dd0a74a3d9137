"""Remove from a home what nothing needs any more (`sft_core.store.retention` says what that is).

Kept are: what a registered version was made by, whether an alias names it or not; what runs need that are running, and
the newest ones; what was made or used in the last days, and since the first process or run began that is still at work;
and all that these were made from. So a version's artifacts go some time after somebody deletes the version.
"""

import shutil
import time
from collections.abc import Iterator, Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from sft_core.errors import RecipeError
from sft_core.store.artifact import ArtifactStore
from sft_core.store.disk_use import last_change
from sft_core.store.occupancy import at_work_since
from sft_core.store.retention import Piece, Pruning, Roots, judge_store, plan_pruning, remove
from tasks.tracking import needed
from tasks.tracking.stores import open_client, store_behind, tracking_uri_of

SECONDS_A_DAY = 86_400.0


@task(name="remove_unneeded", task_run_name="remove_unneeded", cache_policy=NO_CACHE)
def remove_unneeded(
    keep_days: float, keep_runs: int, is_dry_run: bool, store: ArtifactStore
) -> tuple[Pruning, list[Piece]]:
    """Remove what goes.

    Args:
        keep_days: What was made or used in the last days stays.
        keep_runs: What the newest runs made stays.
        is_dry_run: Remove nothing.
        store: Whose root is the home.

    Returns:
        What goes and what stays; and what stayed after all, because somebody took it up meanwhile.
    """
    pruning = find_unneeded(keep_days, keep_runs, store)
    return pruning, [] if is_dry_run else remove_all(pruning, store)


def find_unneeded(keep_days: float, keep_runs: int, store: ArtifactStore) -> Pruning:
    """Say what would go; nothing is removed."""
    try:
        client = open_client(store.root)
    except RecipeError:  # data that was prepared, and never trained on
        client = None
    found = needed.what_is_needed(client, keep_runs) if client else needed.Needed({}, {}, {}, None)
    since = [time.time() - keep_days * SECONDS_A_DAY, found.running_since, at_work_since(store.root)]
    used_since = min(moment for moment in since if moment is not None)
    pieces = judge_store(store, Roots(_keys(store, found), found.flow_runs), used_since)
    has_own = store_behind(tracking_uri_of(store.root)).startswith("sqlite:")
    left = needed.leftovers(client, store.root if has_own else None) if client else []
    return plan_pruning([*pieces, *_left(left, used_since)])


def remove_all(pruning: Pruning, store: ArtifactStore) -> list[Piece]:
    """Remove what was found to go; return what stayed after all."""
    return [piece for piece in pruning.going if not _remove(store, piece)]


def _keys(store: ArtifactStore, found: needed.Needed) -> dict[str, str]:
    """Artifacts that versions and runs need, by key. A registration needs what was registered as long as there is the
    version, and if it was made in another MLflow, which nobody asked, for good."""
    keys = dict(found.keys)
    asked = store_behind(tracking_uri_of(store.root))
    for manifest in store.manifests("register_model"):
        where = manifest.payload["inputs"]["tracker"]["tracking_uri"]
        version = found.versions.get((manifest.facts["name"], manifest.facts["version"]))
        if where != asked:
            keys[manifest.ref.key] = f"registered in {where}, which was not asked"
        elif version is not None:
            keys[manifest.ref.key] = version
    return keys


def _left(left: Sequence[needed.Leftover], used_since: float) -> Iterator[Piece]:
    for one in left:
        used_at = last_change(one.path)
        reason = "made or used lately" if used_at >= used_since else None
        yield Piece(one.kind, one.path, used_at, one.model_id or "", reason, one.why)


def _remove(store: ArtifactStore, piece: Piece) -> bool:
    if piece.kind not in ("model", "run"):
        return remove(store, piece)
    if piece.kind == "model" and piece.key:
        needed.delete_model(open_client(store.root), piece.key)
    shutil.rmtree(piece.path, ignore_errors=True)
    return not piece.path.exists()
