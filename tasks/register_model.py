"""Log the model to MLflow, register it, and let the gate decide whether it becomes champion."""

import importlib.metadata
import json
import math
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from pydantic import BaseModel

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.promotion import CHAMPION, RegistryConfig, Verdict, decide
from sft_core.records import StageOutcome
from sft_core.training import MODEL_FOLDER
from tasks.caching import artifact_task
from tasks.provenance import PROJECT, RecipeText
from tasks.tracking import Registry, TrackedRun, Tracker, log_model

SERVING_LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "pyarrow",
    "numpy",
    "orjson",
    "pydantic",
    "jinja2",
    "huggingface-hub",
    "datasets",
)
ADAPTER_LIBRARIES = ("accelerate", "peft", "bitsandbytes")
"""What a model needs beside them that is an adapter on its base, the last of them where it is installed."""


class ModelVersion(BaseModel):
    """A registered version, and whether it became champion."""

    name: str
    version: str
    model_id: str
    is_champion: bool
    verdict: str

    @property
    def uri(self) -> str:
        """What MLflow loads it by."""
        return f"models:/{self.name}/{self.version}"


@artifact_task(rooms=["promotion", "serving"])
def register_model(
    config: RegistryConfig,
    model_name: str,
    trained: ArtifactRef,
    scorecard: ArtifactRef,
    dataset: ArtifactRef,
    tracker: Tracker,
    recipe: RecipeText,
    run: TrackedRun,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Log, register and judge; the artifact remembers which version it was."""
    scores = store.manifest(scorecard).facts["scorecard"]
    digests = {
        f"data_digest.{split}": facts["digest"] for split, facts in store.manifest(dataset).facts["splits"].items()
    }
    tags = {
        "sft.scorecard": json.dumps(scores),
        **{f"sft.{name}": value for name, value in digests.items()},
        **{f"sft.artifact.{ref.stage}": ref.key for ref in (trained, scorecard, dataset)},
    }
    facts_of_training = store.manifest(trained).facts
    libraries = (*SERVING_LIBRARIES, *(() if facts_of_training["is_merged"] else ADAPTER_LIBRARIES))
    with TemporaryDirectory(dir=folder.parent, suffix=folder.suffix) as beside:  # swept with the folder after a kill
        _write_companions(Path(beside), recipe.yaml, scores, digests, libraries)
        model_id = log_model(
            run, model_name, store.path(trained) / MODEL_FOLDER, Path(beside), facts_of_training["global_step"], tags
        )
    version = tracker.registry.register(model_name, model_id, run.run_id, tags)
    verdict = _promote(store, tracker.registry, config, model_name, version, scores, digests.get("data_digest.eval"))
    facts = ModelVersion(
        name=model_name, version=version, model_id=model_id, is_champion=verdict.is_promoted, verdict=verdict.reason
    )
    (folder / "version.json").write_text(facts.model_dump_json(indent=1), encoding="utf-8")
    return StageOutcome(facts=facts.model_dump())


def _promote(
    store: ArtifactStore,
    registry: Registry,
    config: RegistryConfig,
    name: str,
    version: str,
    scores: Mapping[str, float],
    eval_digest: str | None,
) -> Verdict:
    """Decide under a lock, because MLflow's aliases are last-writer-wins."""
    with store.lock(f"alias-{name}"):
        champion = registry.alias_tags(name, CHAMPION)
        verdict = decide(
            config.gate,
            scores.get(config.gate.metric),
            _score_of(champion, config.gate.metric, eval_digest),
            champion is not None,
        )
        if verdict.is_promoted:
            registry.set_alias(name, CHAMPION, version)
        registry.tag_version(
            name, version, {"sft.verdict": ("promoted: " if verdict.is_promoted else "kept back: ") + verdict.reason}
        )
    return verdict


def _score_of(champion: Mapping[str, str] | None, metric: str, eval_digest: str | None) -> float | None:
    """The champion's score, if it was measured on the same held-out data."""
    if champion is None or eval_digest is None or champion.get("sft.data_digest.eval") != eval_digest:
        return None
    score = json.loads(champion["sft.scorecard"]).get(metric, math.nan)
    return float(score)


def _write_companions(
    folder: Path, recipe_yaml: str, scores: Mapping[str, float], digests: Mapping[str, str], libraries: Sequence[str]
) -> None:
    """What goes into the logged model beside the weights: recipe, scores, requirements, and the code that answers
    requests."""
    (folder / "recipe.yaml").write_text(recipe_yaml, encoding="utf-8")
    (folder / "scorecard.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    (folder / "data_digests.json").write_text(json.dumps(digests, indent=1), encoding="utf-8")
    installed = {distribution.name for distribution in importlib.metadata.distributions()}
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in ("mlflow", *libraries) if name in installed]
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    environment = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment), encoding="utf-8")
    shutil.copytree(PROJECT / "sft_core", folder / "code" / "sft_core", ignore=shutil.ignore_patterns("__pycache__"))
