"""Files that are stored in a logged model in addition to its weights.

README.md is in `model/`, where the Hub looks for it and MLflow shows it; all other files are next to `model/`:

recipe.yaml  scorecard.json  data_digests.json    the recipe, the scores, and the digests of the data
scored_items.arrow  intervals.json                each held-out row's part of the scores, and their confidence intervals
code/  requirements.txt  python_env.yaml          the code that serves the model, and its requirements
"""

import importlib.metadata
import json
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from huggingface_hub import try_to_load_from_cache

from sft_core.evaluation import INTERVALS_FILE, SCORED_ITEMS_FILE
from sft_core.pretrained.model import ModelRef
from sft_core.registry.image_facts import image_facts
from sft_core.registry.imports import libraries_of
from sft_core.registry.model_card import CARD_FILE, CardFacts, DataSplit, model_card
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.training import MODEL_FOLDER, TrainPlan
from tasks.stages.codebase import PROJECT
from tasks.tracking.model_files import RECIPE_FILE
from tasks.tracking.provenance import RecipeText

SERVING_MODULES = ("registry.serving", "registry.verification.run")
"""Modules of the stored code that are run."""
CODE_FOLDER, WEIGHTS_FOLDER = "code", "model"
NOT_SERVED = ("__pycache__", "*.html.jinja", "*.svg.jinja", "*.md.jinja", "*.css")
"""Files of the package that a served model has no use for: the templates of pages, which only stages write."""
TOLD_BY_TRAINING = ("is_merged", "num_tokens", "global_step", "num_parameters", "num_trained_parameters")
EVIDENCE = (SCORED_ITEMS_FILE, INTERVALS_FILE)
"""Files of an evaluation that are stored with its scorecard, if they exist."""


@dataclass(frozen=True, slots=True)
class CompanionFiles:
    """Content of all files that are stored with the weights."""

    recipe_yaml: str
    scores: Mapping[str, float]
    digests: Mapping[str, str]
    """`data_digest.train`, `data_digest.eval` → digest."""
    evaluation_folder: Path
    card: CardFacts

    def write(self, folder: Path) -> None:
        """Write all files into an empty folder."""
        (folder / WEIGHTS_FOLDER).mkdir()
        (folder / WEIGHTS_FOLDER / CARD_FILE).write_text(model_card(self.card), encoding="utf-8")
        (folder / RECIPE_FILE).write_text(self.recipe_yaml, encoding="utf-8")
        (folder / "scorecard.json").write_text(json.dumps(self.scores, indent=1), encoding="utf-8")
        (folder / "data_digests.json").write_text(json.dumps(self.digests, indent=1), encoding="utf-8")
        for file in (self.evaluation_folder / name for name in EVIDENCE):
            if file.exists():
                shutil.copyfile(file, folder / file.name)
        write_runtime(folder)


def companion_files_of(
    recipe: RecipeText,
    name: str,
    store: ArtifactStore,
    trained: ArtifactRef,
    scorecard: ArtifactRef,
    dataset: ArtifactRef,
) -> CompanionFiles:
    """Collect the content of the files that are stored with the weights of a training.

    Args:
        recipe: The recipe of the run.
        name: Name of the registered model.
        store: The store with the artifacts.
        trained: Artifact of the training.
        scorecard: Artifact of its evaluation.
        dataset: Artifact of the packed data.
    """
    training, scores = store.manifest(trained).facts, store.manifest(scorecard).facts["scorecard"]
    splits = store.manifest(dataset).facts["splits"]
    plan = TrainPlan.model_validate_json((store.path(trained) / "plan.json").read_bytes())
    card = CardFacts(
        name=name,
        recipe=recipe.recipe.model_dump(mode="json"),
        base_folder=_base_folder(plan.model),
        splits=[DataSplit(split, facts["digest"], facts["rows"], facts["tokens"]) for split, facts in splits.items()],
        scores=scores,
        is_chat=(store.path(trained) / MODEL_FOLDER / "chat_template.jinja").exists(),
        images=image_facts(store.path(dataset) / "train", plan.processor) if plan.processor else None,
        **{field: training[field] for field in TOLD_BY_TRAINING},
    )
    digests = {f"data_digest.{split}": facts["digest"] for split, facts in splits.items()}
    return CompanionFiles(recipe.yaml, scores, digests, store.path(scorecard), card)


def _base_folder(ref: ModelRef) -> Path | None:
    """Return the folder of the base model on this machine, or in the Hub cache; None if there is no such folder."""
    if ref.path is None or ref.init == "config":
        return None
    if ref.commit is None:
        return Path(ref.path).expanduser()
    cached = try_to_load_from_cache(ref.path, "config.json", revision=ref.commit)
    return Path(cached).parent if isinstance(cached, str) else None


def write_runtime(folder: Path) -> None:
    """Write the code that serves the model and its requirements, each library in the version that is installed here."""
    code = folder / CODE_FOLDER / "sft_core"
    shutil.copytree(PROJECT / "sft_core", code, ignore=shutil.ignore_patterns(*NOT_SERVED))
    libraries = libraries_of(*SERVING_MODULES)
    pins = [f"{name}=={importlib.metadata.version(name)}" for name in ("mlflow", *libraries)]
    (folder / "requirements.txt").write_text("\n".join(pins) + "\n", encoding="utf-8")
    environment = {
        "python": platform.python_version(),
        "build_dependencies": ["pip"],
        "dependencies": ["-r requirements.txt"],
    }
    (folder / "python_env.yaml").write_text(yaml.safe_dump(environment), encoding="utf-8")
