"""Measure any model on held-out rows."""

import functools

from sft_core.evaluation import EvaluationConfig, EvaluationPlan, LocatedTasks
from sft_core.evaluation.answering import Scoring
from sft_core.pretrained.model_content import ModelContent
from sft_core.pretrained.processor import ProcessorRef
from sft_core.processes.launch import Launch
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.image_store import ImageStore
from tasks.home import log_file
from tasks.processes.evaluator import libraries_asked_for, run_evaluator
from tasks.stages import stage
from tasks.workers import Work


@stage(needs_gpu=True, asks_for=libraries_asked_for)
def measure_model(
    config: EvaluationConfig,
    scoring: Scoring,
    harness: LocatedTasks,
    model: ModelContent,
    dataset: ArtifactRef,
    processor: ProcessorRef | None,
    *,
    processes: Launch,
    store: ArtifactStore,
) -> Work:
    """Write the scorecard, what each row adds to it, and the samples."""
    plan = functools.partial(
        EvaluationPlan,
        evaluation=config,
        scoring=scoring,
        harness=harness,
        model_folder=model.folder,
        baseline=None,
        baseline_seed=0,
        eval_folder=store.path(dataset) / "eval",
        source_of_shard=tuple(shard["source"] for shard in store.manifest(dataset).facts["shards"]),
        prompts=store.path(dataset) / "prompts.arrow",
        processor=processor,
        images_folder=ImageStore.below(store.root).folder,
    )
    return Work(run_evaluator, (plan, log_file(store, "measure_model", dataset.name), processes))
