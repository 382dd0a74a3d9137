"""Log the model to MLflow, register it, and let the gate decide whether it becomes champion (`promote_version`)."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from sft_core.registry.promotion import RegistryConfig
from sft_core.store.artifact import ArtifactRef
from sft_core.store.records import StageOutcome
from sft_core.store.stages import REGISTER_MODEL
from sft_core.training import MODEL_FOLDER, PROBE_FILE
from tasks.events import REGISTERED, emit
from tasks.home import log_file
from tasks.processes.proving import prove
from tasks.promote_version import comparable_by, judge
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.tracking import Tracker, log_model
from tasks.tracking.addresses import version_uri
from tasks.tracking.checkpoints import log_checkpoints
from tasks.tracking.companion_files import companion_files_of
from tasks.tracking.provenance import RecipeText
from tasks.workers import Work

NOT_ASKED = "registered; the gate was not asked (`registry.promote`)"


class ModelVersion(BaseModel):
    """Registered version, and whether it became champion."""

    name: str
    version: str
    model_id: str
    is_champion: bool
    verdict: str

    @property
    def uri(self) -> str:
        """Address by which MLflow loads the version."""
        return version_uri(self.name, self.version)


@dataclass(frozen=True, slots=True)
class Registration:
    """Registry for a model, and the conditions of its promotion."""

    config: RegistryConfig
    model_name: str
    tracker: Tracker


@dataclass(frozen=True, slots=True)
class Candidate:
    """Trained model with its scorecard and its data."""

    trained: ArtifactRef
    scorecard: ArtifactRef
    dataset: ArtifactRef

    @property
    def name(self) -> str:
        """Name of the recipe, which is also the name of the training's artifact."""
        return self.trained.name


@stage(readers=("datasets", "pyarrow"))
def register_model(registration: Registration, candidate: Candidate, recipe: RecipeText, context: RunContext) -> Work:
    """Log, verify, register and judge a model; the artifact records which version it became."""
    return Work(_register, (registration, candidate, recipe, context))


def _register(
    registration: Registration, candidate: Candidate, recipe: RecipeText, context: RunContext, folder: Path
) -> StageOutcome:
    config, model_name, registry = registration.config, registration.model_name, registration.tracker.registry
    trained, scorecard, dataset = candidate.trained, candidate.scorecard, candidate.dataset
    store, run = context.store, context.tracked
    scores = store.manifest(scorecard).facts["scorecard"]
    splits = store.manifest(dataset).facts["splits"]
    companions = companion_files_of(recipe, model_name, store, trained, scorecard, dataset)
    made_from = {f"sft.artifact.{ref.stage}": ref.key for ref in (trained, scorecard, dataset)}
    tags = {
        "sft.scorecard": json.dumps(scores),
        **{f"sft.{name}": value for name, value in companions.digests.items()},
        **made_from,
        **comparable_by(store.path(trained) / MODEL_FOLDER, store.path(dataset)),
    }
    training, step = store.path(trained), store.manifest(trained).facts["global_step"]

    def proven(weights: Path, code: Path) -> dict[str, str]:
        log = log_file(store, REGISTER_MODEL, trained.name)
        found = prove(weights, code, training / PROBE_FILE, log, context.processes)
        return {"sft.verified": str(found)}

    with TemporaryDirectory(dir=folder.parent, suffix=folder.suffix) as beside:  # swept with the folder after a kill
        companions.write(Path(beside))
        key = folder.suffix.removeprefix(".")  # key of this registration, from the folder name that the store gave it
        model_id = log_model(run, model_name, training / MODEL_FOLDER, Path(beside), step, tags, proven, key)
    data = (f"{recipe.recipe.name}-eval", splits["eval"]["digest"]) if "eval" in splits else None
    measured = {name: value for name, value in scores.items() if not name.startswith("baseline_")}
    if data is not None:
        now = int(time.time() * 1000)
        run.insist("scoring the model", lambda: run.record_model_scores(model_id, step, measured, data, now))
    run.insist("logging checkpoints", lambda: log_checkpoints(run, training, made_from, data))
    version = run.insist("registering the model", lambda: registry.register(model_name, model_id, run.run_id, tags))
    registered = run.insist("finding the version", lambda: registry.version(model_name, version))
    emit(REGISTERED, registered, recipe=recipe.recipe.model_dump(mode="json", exclude_unset=True))
    is_champion, verdict = False, NOT_ASKED
    if config.promote:
        decided = run.insist("judging the model", lambda: judge(store, registry, config.gate, registered))
        is_champion, verdict = decided.is_champion, decided.reason  # maybe by an earlier call whose response was lost
    facts = ModelVersion(name=model_name, version=version, model_id=model_id, is_champion=is_champion, verdict=verdict)
    (folder / "version.json").write_text(facts.model_dump_json(indent=1), encoding="utf-8")
    return StageOutcome(facts=facts.model_dump())
