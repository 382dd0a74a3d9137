"""Log the model to MLflow, register it, and let the gate decide whether it becomes champion (`promote_version`)."""

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml
from pydantic import BaseModel

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.promotion import RegistryConfig
from sft_core.records import StageOutcome
from sft_core.training import MODEL_FOLDER
from tasks.caching import artifact_task
from tasks.promote_version import comparable_by, judge
from tasks.provenance import PROJECT, RecipeText
from tasks.tracking import TrackedRun, Tracker, log_model

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


@artifact_task(rooms=["promotion", "comparability", "serving"])
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
        **comparable_by(store.path(trained) / MODEL_FOLDER, store.path(dataset)),
    }
    facts_of_training = store.manifest(trained).facts
    libraries = (*SERVING_LIBRARIES, *(() if facts_of_training["is_merged"] else ADAPTER_LIBRARIES))
    with TemporaryDirectory(dir=folder.parent, suffix=folder.suffix) as beside:  # swept with the folder after a kill
        _write_companions(Path(beside), recipe.yaml, scores, digests, libraries)
        model_id = log_model(
            run, model_name, store.path(trained) / MODEL_FOLDER, Path(beside), facts_of_training["global_step"], tags
        )
    version = tracker.registry.register(model_name, model_id, run.run_id, tags)
    verdict = judge(store, tracker.registry, config.gate, tracker.registry.version(model_name, version))
    facts = ModelVersion(
        name=model_name, version=version, model_id=model_id, is_champion=verdict.is_promoted, verdict=verdict.reason
    )
    (folder / "version.json").write_text(facts.model_dump_json(indent=1), encoding="utf-8")
    return StageOutcome(facts=facts.model_dump())


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
