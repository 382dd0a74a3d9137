"""Train the model in a process of its own, and forward what it reports."""

from pathlib import Path

from sft_core.artifact import ArtifactRef, ArtifactStore
from sft_core.chat import TemplateRef
from sft_core.model import ModelRef
from sft_core.records import StageOutcome
from sft_core.runtime import RuntimeConfig
from sft_core.tokenizer import TokenizerRef
from sft_core.training import METRICS_FILE, TrainingConfig, TrainPlan, TrainResult
from tasks.caching import artifact_task
from tasks.home import log_file
from tasks.launching import launch
from tasks.progress import TrainingProgress
from tasks.tracking import TrackedRun


@artifact_task(rooms=["training"], libraries=["torch", "transformers", "accelerate"])
def train_model(
    config: TrainingConfig,
    model: ModelRef,
    tokenizer: TokenizerRef,
    template: TemplateRef,
    eos_token: str | None,
    dataset: ArtifactRef,
    runtime: RuntimeConfig,
    run: TrackedRun,
    store: ArtifactStore,
    folder: Path,
) -> StageOutcome:
    """Train on a packed data set; the artifact holds the model's folder, the metrics and the plan."""
    facts = store.manifest(dataset).facts
    plan = TrainPlan(
        training=config,
        model=model,
        tokenizer_folder=tokenizer.folder.resolve(),
        trust_remote_code=tokenizer.trust_remote_code,
        chat_template=template.source,
        eos_token=eos_token,
        train_folder=store.path(dataset) / "train",
        eval_folder=store.path(dataset) / "eval" if "eval" in facts["splits"] else None,
        output_folder=folder,
        num_processes=runtime.num_processes,
        source_of_shard=tuple(shard["source"] for shard in facts["shards"]),
    )
    with TrainingProgress(folder / METRICS_FILE) as progress:

        def on_tick() -> None:
            progress.update()
            run.forward_metrics(folder / METRICS_FILE)

        launch("training", plan, folder, log_file(store, "train_model", dataset.name), runtime.num_processes, on_tick)
    result = TrainResult.model_validate_json((folder / "result.json").read_bytes())
    return StageOutcome(facts={**result.model_dump(), "seed": config.seed})
