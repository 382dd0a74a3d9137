"""Measure the trained model on held-out rows, and the one that training began with."""

from pathlib import Path

import orjson

from sft_core.answering import Scoring
from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.evaluation import SCORECARD_FILE, EvaluationConfig, EvaluationPlan
from sft_core.model import ModelRef
from sft_core.records import StageOutcome
from sft_core.training import MODEL_FOLDER
from tasks.caching import artifact_task
from tasks.home import log_file
from tasks.launching import launch


@artifact_task(rooms=["evaluation"], libraries=["torch", "transformers", "accelerate", "peft"])
def evaluate_model(
    config: EvaluationConfig,
    scoring: Scoring,
    baseline: ModelRef,
    trained: ArtifactRef,
    dataset: ArtifactRef,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Write the scorecard and the samples; without held-out rows the scorecard is empty."""
    has_eval = "eval" in store.manifest(dataset).facts["splits"]
    plan = EvaluationPlan(
        evaluation=config,
        scoring=scoring,
        step=store.manifest(trained).facts["global_step"],
        model_folder=store.path(trained) / MODEL_FOLDER,
        baseline=baseline if config.baseline else None,
        baseline_seed=store.manifest(trained).facts["seed"],
        eval_folder=store.path(dataset) / "eval" if has_eval else None,
        prompts=store.path(dataset) / "prompts.arrow" if has_eval else None,
        output_folder=folder,
    )
    launch("evaluation", plan, folder, log_file(store, "evaluate_model", trained.name))
    return StageOutcome(facts={"scorecard": orjson.loads((folder / SCORECARD_FILE).read_bytes())})
