"""Remove what is no longer needed from a state directory, by the rules of `sft_core.store.retention`.

These are kept, with everything that they were made from:

- artifacts that a registered version was made from, whether or not an alias points at it;
- artifacts that a running run, or one of the newest runs, needs;
- what was made or used in the last days, or since the oldest process or run started that is still running.

So a version's artifacts are removed some time after the version was deleted.
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
from sft_core.store.retention import Pruning, Roots, StoreEntry, judge_store, plan_pruning, remove
from sft_core.store.stages import REGISTER_MODEL
from tasks.tracking import needed
from tasks.tracking.stores import open_client, store_behind, tracking_uri_of

SECONDS_A_DAY = 86_400.0


@task(name="remove_unneeded", task_run_name="remove_unneeded", cache_policy=NO_CACHE)
def remove_unneeded(
    keep_days: float, keep_runs: int, is_dry_run: bool, store: ArtifactStore
) -> tuple[Pruning, list[StoreEntry]]:
    """Remove all entries that nothing needs.

    Args:
        keep_days: Entries that were made or used in this number of days are kept.
        keep_runs: Entries that this number of newest runs made are kept.
        is_dry_run: True removes nothing.
        store: The artifact store, whose root is the state directory.

    Returns:
        The plan, with what is removed and what is kept; and the entries that were planned to be removed but were kept,
        because a process began to use them meanwhile.
    """
    pruning = find_unneeded(keep_days, keep_runs, store)
    return pruning, [] if is_dry_run else remove_all(pruning, store)


def find_unneeded(keep_days: float, keep_runs: int, store: ArtifactStore) -> Pruning:
    """Return what would be removed, without removing it."""
    try:
        client = open_client(store.root)
    except RecipeError:  # no MLflow yet: data was prepared, but nothing was trained
        client = None
    found = needed.what_is_needed(client, keep_runs) if client else needed.Needed({}, {}, {}, None)
    since = [time.time() - keep_days * SECONDS_A_DAY, found.running_since, at_work_since(store.root)]
    used_since = min(moment for moment in since if moment is not None)
    entries = judge_store(store, Roots(_keys(store, found), found.flow_runs), used_since)
    has_own = store_behind(tracking_uri_of(store.root)).startswith("sqlite:")
    left = needed.leftovers(client, store.root if has_own else None) if client else []
    return plan_pruning([*entries, *_left(left, used_since)])


def remove_all(pruning: Pruning, store: ArtifactStore) -> list[StoreEntry]:
    """Remove the entries of a plan; return those that could not be removed."""
    return [entry for entry in pruning.going if not _remove(store, entry)]


def _keys(store: ArtifactStore, found: needed.Needed) -> dict[str, str]:
    """Return key → reason for all artifacts that versions and runs need.

    A registration is kept as long as its version exists. One that was made in another MLflow store, which is not
    queried here, is always kept.
    """
    keys = dict(found.keys)
    asked = store_behind(tracking_uri_of(store.root))
    for manifest in store.manifests(REGISTER_MODEL):
        where = manifest.payload["inputs"]["registration"]["tracker"]["tracking_uri"]
        version = found.versions.get((manifest.facts["name"], manifest.facts["version"]))
        if where != asked:
            keys[manifest.ref.key] = f"registered in {where}, which was not queried"
        elif version is not None:
            keys[manifest.ref.key] = version
    return keys


def _left(left: Sequence[needed.Leftover], used_since: float) -> Iterator[StoreEntry]:
    for one in left:
        used_at = last_change(one.path)
        reason = "made or used lately" if used_at >= used_since else None
        yield StoreEntry(one.kind, one.path, used_at, one.model_id or "", reason, one.why)


def _remove(store: ArtifactStore, entry: StoreEntry) -> bool:
    if entry.kind not in ("model", "run"):
        return remove(store, entry)
    if entry.kind == "model" and entry.key:
        open_client(store.root).delete_logged_model(entry.key)
    shutil.rmtree(entry.path, ignore_errors=True)
    return not entry.path.exists()
