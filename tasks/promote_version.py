"""Evaluate the gate for a registered version, and move the aliases accordingly.

    promoted           previous ← the old champion, champion ← the version
    measured and lost  challenger ← the version: worse, equal, a gain that is too small or may be chance
    anything else      no alias moves: a version that could not be measured against the champion challenges nothing

Two promotions at the same time are both counted: processes with the same state directory wait for each other at a file
lock, and a process that finds another champion than the one it compared with compares again before it moves the aliases
(`Registry.move`). Verdict and tags are written before the aliases: a promotion that was interrupted in between is
completed by the next call.
"""

import getpass
import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE
from pydantic import ValidationError

from sft_core.errors import RecipeError, StageFailedError
from sft_core.evaluation.paired_rows import pair_rows
from sft_core.registry.comparability import rows_digest, template_digest, tokenizer_digest
from sft_core.registry.promotion import (
    CHALLENGER,
    CHAMPION,
    LOST,
    PREVIOUS,
    GateConfig,
    Standing,
    Verdict,
    decide,
    force,
)
from sft_core.store.artifact import ArtifactStore
from tasks.events import CHAMPION_CHANGED, REFUSED, emit
from tasks.tracking import RegisteredVersion, Registry

TAG_CHARS = 5000
ROLLED_BACK, PROMOTED_OVER = "sft.rolled_back", "sft.promoted_over"
ATTEMPTS = 20


@task(name="promote_version", task_run_name="promote_version", cache_policy=NO_CACHE)
def promote_version(
    gate: GateConfig, version: RegisteredVersion, reason: str | None, registry: Registry, store: ArtifactStore
) -> Verdict:
    """Judge a version that is already registered; with a reason, it becomes champion whatever the gate decides."""
    return judge(store, registry, gate, version, reason)


def judge(
    store: ArtifactStore, registry: Registry, gate: GateConfig, version: RegisteredVersion, reason: str | None = None
) -> Verdict:
    """Decide whether a version is promoted, move the aliases, and record the verdict in the version's tags and as an
    artifact of its run and of its model.

    Args:
        store: The artifact store whose lock is held meanwhile.
        registry: The registry of the version.
        gate: The rule of promotion.
        version: The version that is judged.
        reason: Why the gate is overruled; with None, the gate decides.

    Raises:
        StageFailedError: if the champion changed during each of `ATTEMPTS` attempts.
    """
    with store.lock(f"alias-{version.name}"):
        for _ in range(ATTEMPTS):
            aliases = registry.aliases(version.name)
            verdict = _compare(store, registry, gate, version, aliases.get(CHAMPION))
            verdict = verdict if reason is None else force(verdict, reason)
            if verdict.rule == "is champion":
                return verdict  # the record of its promotion is kept
            registry.log_verdict(version, verdict.as_json())
            if _carry_out(registry, version, verdict, aliases):
                emit(CHAMPION_CHANGED if verdict.is_promoted else REFUSED, version, verdict=verdict.in_words)
                return verdict
        raise StageFailedError(f"the champion of '{version.name}' changed {ATTEMPTS} times while it was compared")


def _carry_out(registry: Registry, version: RegisteredVersion, verdict: Verdict, aliases: Mapping[str, str]) -> bool:
    """Tag the version and move the aliases; return False if the champion is no longer the one of the verdict."""
    moves, tags = _moves(verdict, aliases), _tags(verdict, version)
    if moves:
        return registry.move(version.name, aliases.get(CHAMPION), moves, {version.version: tags})
    registry.tag_version(version.name, version.version, tags)
    return True


def comparable_by(model_folder: Path, dataset: Path) -> dict[str, str]:
    """Return the tags by which later promotions decide whether a version's scores are comparable with this one's.

    Args:
        model_folder: The folder of the model, with its chat template and tokenizer.
        dataset: The folder of the packed data set.
    """
    rows = rows_digest(dataset / "eval-segments.arrow")
    return {
        "sft.template_digest": template_digest(model_folder),
        "sft.tokenizer_digest": tokenizer_digest(model_folder),
        **({"sft.rows_digest.eval": rows} if rows else {}),
    }


def gate_of(registry: Registry, version: RegisteredVersion, store: ArtifactStore) -> GateConfig:
    """Return the gate of the recipe that made a version, read from the `recipe.yaml` that is stored with its model.

    Raises:
        RecipeError: if no recipe is stored there, or its gate is not valid.
    """
    recipe = yaml.safe_load(registry.recipe_text(version, downloads(store))) or {}
    try:
        return GateConfig.model_validate((recipe.get("registry") or {}).get("gate") or {})
    except ValidationError as error:
        raise RecipeError(
            f"model '{version.uri}': the gate of its recipe: {error}; name a recipe with --recipe"
        ) from error


def downloads(store: ArtifactStore) -> Path:
    """Return the folder for downloaded files of models that are not stored on this machine."""
    return store.root / "downloads"


def signed_now() -> str:
    """Return the present time (UTC) with user and host, as the text of a tag."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} by {getpass.getuser()}@{socket.gethostname()}"


def _compare(
    store: ArtifactStore, registry: Registry, gate: GateConfig, version: RegisteredVersion, champion: str | None
) -> Verdict:
    if champion is None or champion == version.version:
        return decide(gate, _standing(version), None if champion is None else _standing(version))
    present = registry.version(version.name, champion)
    before, after = (registry.scored_items(one, downloads(store)) for one in (present, version))
    return decide(gate, _standing(version), _standing(present), pair_rows(before, after, gate.metric))


def _standing(version: RegisteredVersion) -> Standing:
    tags = version.tags
    return Standing(
        version=version.version,
        scores={name: float(score) for name, score in json.loads(tags.get("sft.scorecard", "{}")).items()},
        data_digest=tags.get("sft.data_digest.eval"),
        rows_digest=tags.get("sft.rows_digest.eval"),
        template_digest=tags.get("sft.template_digest"),
        tokenizer_digest=tags.get("sft.tokenizer_digest"),
        rolled_back=tags.get(ROLLED_BACK),
    )


def _moves(verdict: Verdict, aliases: Mapping[str, str]) -> dict[str, str | None]:
    """Return alias → version, with `previous` first, so that an interruption leaves a version to roll back to."""
    version = verdict.version.version
    if verdict.is_promoted:
        previous: dict[str, str | None] = {PREVIOUS: aliases[CHAMPION]} if CHAMPION in aliases else {}
        challenger: dict[str, str | None] = {CHALLENGER: None} if aliases.get(CHALLENGER) == version else {}
        return {**previous, CHAMPION: version, **challenger}
    return {CHALLENGER: version} if verdict.rule in LOST else {}


def _tags(verdict: Verdict, version: RegisteredVersion) -> dict[str, str | None]:
    tags: dict[str, str | None] = {"sft.verdict": verdict.in_words[:TAG_CHARS]}
    if not verdict.is_promoted:
        return tags
    tags |= {"sft.promoted": signed_now(), PROMOTED_OVER: verdict.champion.version if verdict.champion else ""}
    if verdict.forced is not None:
        tags["sft.forced"] = verdict.forced[:TAG_CHARS]
    return tags | ({ROLLED_BACK: None} if ROLLED_BACK in version.tags else {})
