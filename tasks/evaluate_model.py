"""Measure the trained model on held-out rows, and the one that training began with."""

import functools

from sft_core.evaluation import EvaluationConfig, EvaluationPlan, LocatedTasks
from sft_core.evaluation.answering import Scoring
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.processor import ProcessorRef
from sft_core.processes.launch import Launch
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.image_store import ImageStore
from sft_core.training import MODEL_FOLDER
from tasks.home import log_file
from tasks.processes.evaluator import libraries_asked_for, run_evaluator
from tasks.stages import stage
from tasks.workers import Work


@stage(needs_gpu=True, asks_for=libraries_asked_for)
def evaluate_model(
    config: EvaluationConfig,
    scoring: Scoring,
    harness: LocatedTasks,
    baseline: ModelRef,
    trained: ArtifactRef,
    dataset: ArtifactRef,
    processor: ProcessorRef | None,
    *,
    processes: Launch,
    store: ArtifactStore,
) -> Work:
    """Write the scorecard, what each row adds to it, and the samples; without held-out rows the scorecard is empty."""
    facts = store.manifest(dataset).facts
    has_eval = "eval" in facts["splits"]
    plan = functools.partial(
        EvaluationPlan,
        evaluation=config,
        scoring=scoring,
        harness=harness,
        step=store.manifest(trained).facts["global_step"],
        model_folder=store.path(trained) / MODEL_FOLDER,
        baseline=baseline if config.baseline else None,
        baseline_seed=store.manifest(trained).facts["seed"],
        eval_folder=store.path(dataset) / "eval" if has_eval else None,
        source_of_shard=tuple(shard["source"] for shard in facts["shards"]),
        prompts=store.path(dataset) / "prompts.arrow" if has_eval else None,
        processor=processor,
        images_folder=ImageStore.below(store.root).folder,
    )
    return Work(run_evaluator, (plan, log_file(store, "evaluate_model", trained.name), processes))
