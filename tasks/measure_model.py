"""Measure any model on held-out rows."""

from pathlib import Path

from sft_core.answering import Scoring
from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.evaluation import EvaluationConfig, EvaluationPlan, LocatedTasks
from sft_core.image_store import ImageStore
from sft_core.launch import Launch
from sft_core.model_content import ModelContent
from sft_core.processor import ProcessorRef
from sft_core.records import StageOutcome
from tasks.caching import artifact_task
from tasks.evaluator import run_evaluator
from tasks.home import log_file


@artifact_task(rooms=["evaluation"], libraries=["torch", "transformers", "accelerate", "peft"], needs_gpu=True)
def measure_model(
    config: EvaluationConfig,
    scoring: Scoring,
    harness: LocatedTasks,
    model: ModelContent,
    dataset: ArtifactRef,
    processor: ProcessorRef | None,
    processes: Launch,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Write the scorecard, what each row adds to it, and the samples."""
    plan = EvaluationPlan(
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
        output_folder=folder,
    )
    return StageOutcome(facts=run_evaluator(plan, log_file(store, "measure_model", dataset.name), processes))
