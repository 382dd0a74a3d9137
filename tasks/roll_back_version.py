"""Make the previous version champion again.

The version that the restored one had replaced becomes `previous`, so that one can roll back further. The version that
was rolled back is tagged, and the gate does not promote it again unless a reason is given.
"""

from dataclasses import dataclass

from prefect import task
from prefect.cache_policies import NO_CACHE

from sft_core.errors import RecipeError
from sft_core.registry.promotion import CHAMPION, PREVIOUS
from sft_core.store.artifact import ArtifactStore
from tasks.events import CHAMPION_CHANGED, emit
from tasks.promote_version import PROMOTED_OVER, ROLLED_BACK, signed_now
from tasks.tracking import Registry


@dataclass(frozen=True, slots=True)
class RollBack:
    """Result of a roll-back: the versions before and after it."""

    name: str
    champion: str
    """The version that is champion again."""
    taken_back: str
    """The version that was champion until now."""
    previous: str | None
    """The version that another roll-back would restore, or None."""


@task(name="roll_back_version", task_run_name="roll_back_version", cache_policy=NO_CACHE)
def roll_back_version(name: str, reason: str | None, registry: Registry, store: ArtifactStore) -> RollBack:
    """Move the aliases back, and record when, by whom and why.

    Raises:
        RecipeError: if there is no champion, no version before it, or if another process moved the champion meanwhile.
    """
    with store.lock(f"alias-{name}"):
        aliases = registry.aliases(name)
        champion, restored = aliases.get(CHAMPION), aliases.get(PREVIOUS)
        if champion is None:
            raise RecipeError(f"model '{name}': expected a champion to take back, found none")
        if restored is None or restored == champion:
            raise RecipeError(
                f"model '{name}': version {champion} is champion and no version is `previous`, so there is nothing to "
                f"go back to; `sft promote {name}/VERSION --force REASON` makes another one champion"
            )
        previous = _before(registry, name, restored)
        signed = signed_now() + (f": {reason}" if reason else "")
        record = {
            champion: {ROLLED_BACK: f"{signed}; version {restored} took its place"},
            restored: {"sft.restored": f"{signed}; in the place of version {champion}"},
        }
        if not registry.move(name, champion, {CHAMPION: restored, PREVIOUS: previous}, record):
            raise RecipeError(f"model '{name}': another process moved the champion meanwhile; check it and try again")
    emit(CHAMPION_CHANGED, registry.version(name, restored), verdict=f"rolled back from version {champion}")
    return RollBack(name, restored, champion, previous)


def _before(registry: Registry, name: str, version: str) -> str | None:
    """Return the version that a version replaced as champion, if it still exists and was not itself rolled back."""
    before = registry.version(name, version).tags.get(PROMOTED_OVER)
    if not before:
        return None
    try:
        found = registry.version(name, before)
    except RecipeError:
        return None
    return None if ROLLED_BACK in found.tags else before
