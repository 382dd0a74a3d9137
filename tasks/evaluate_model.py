"""Measure a model on held-out rows: a trained model together with the one that training started from, or any model."""

import functools
from collections.abc import Mapping
from typing import Any

from sft_core.evaluation import EvaluationInputs, EvaluationPlan
from sft_core.evaluation.answering import MetricNames
from sft_core.pretrained.model import libraries_of_model
from sft_core.pretrained.model_content import ModelContent
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.image_store import ImageStore
from sft_core.store.stages import EVALUATE_MODEL
from sft_core.training import MODEL_FOLDER
from tasks.home import log_file
from tasks.processes.evaluator import run_evaluator
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work


def _libraries(inputs: Mapping[str, Any]) -> list[str]:
    evaluation: EvaluationInputs = inputs["evaluation"]
    of_metrics = MetricNames.parse(evaluation.config.metrics).libraries
    return [*of_metrics, *(libraries_of_model(evaluation.baseline) if evaluation.baseline else [])]


@stage(needs_gpu=True, asks_for=_libraries)
def evaluate_model(
    evaluation: EvaluationInputs, model: ArtifactRef | ModelContent, dataset: ArtifactRef, context: RunContext
) -> Work:
    """Write the scorecard, what each row adds to it, and the samples; without held-out rows the scorecard is empty.

    Args:
        evaluation: How the model is measured.
        model: A training, or any model in a folder.
        dataset: The packed data with the held-out rows.
        context: Where the artifacts are, and which process evaluates.
    """
    store = context.store
    facts = store.manifest(dataset).facts
    has_eval = "eval" in facts["splits"]
    plan = functools.partial(
        EvaluationPlan,
        evaluation=evaluation.config,
        scoring=evaluation.scoring,
        harness=evaluation.harness,
        baseline=evaluation.baseline if evaluation.config.baseline else None,
        eval_folder=store.path(dataset) / "eval" if has_eval else None,
        source_of_shard=tuple(shard["source"] for shard in facts["shards"]),
        prompts=store.path(dataset) / "prompts.arrow" if has_eval else None,
        processor=evaluation.processor,
        images_folder=ImageStore.below(store.root).folder,
        **_measured(store, model),
    )
    return Work(run_evaluator, (plan, log_file(store, EVALUATE_MODEL, dataset.name), context.processes))


def _measured(store: ArtifactStore, model: ArtifactRef | ModelContent) -> dict[str, Any]:
    """Return the fields of the plan that describe the model: its folder, its steps, and the seed of its training."""
    if isinstance(model, ModelContent):
        return {"model_folder": model.folder, "baseline_seed": 0}
    facts = store.manifest(model).facts
    return {
        "model_folder": store.path(model) / MODEL_FOLDER,
        "step": facts["global_step"],
        "baseline_seed": facts["seed"],
    }
