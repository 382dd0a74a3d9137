"""Train the model in a child process, and forward the metrics that it writes.

It trains in a folder that is kept after failures: the next run of the same recipe finds the checkpoints there and
resumes.
"""

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sft_core.evaluation.answering import Scoring
from sft_core.pretrained.model import libraries_of_model
from sft_core.processes.subprocesses import LISTENING_FOLDER
from sft_core.store.artifact import ArtifactRef
from sft_core.store.durable import link_or_copy
from sft_core.store.image_store import ImageStore
from sft_core.store.records import StageOutcome
from sft_core.store.stages import TRAIN_MODEL
from sft_core.training import (
    CHECKPOINTS_FOLDER,
    METRICS_FILE,
    START_FILE,
    TrainInputs,
    TrainPlan,
    TrainResult,
    packages_of,
    rewind,
)
from tasks.home import log_file
from tasks.processes.launching import launch
from tasks.processes.replaying import replay
from tasks.processes.watching import TrainingWatch
from tasks.stages import stage
from tasks.stages.run_context import RunContext
from tasks.workers import Work

INCIDENTAL = frozenset({"plan.json", METRICS_FILE, "result.json", "seconds", "resumed_from"})
"""Files and facts with paths and times, in which two trainings with the same weights may differ."""


def _libraries(inputs: Mapping[str, Any]) -> list[str]:
    training: TrainInputs = inputs["training"]
    return [*packages_of(training.config), *libraries_of_model(training.model)]


@stage(needs_gpu=True, asks_for=_libraries, readers=("datasets", "orjson", "pyarrow"))
def train_model(training: TrainInputs, dataset: ArtifactRef, context: RunContext) -> Work:
    """Train on a packed data set.

    The artifact holds the model's folder, the metrics, the plan, and samples of answers if held-out prompts are
    answered during training.
    """
    store = context.store
    facts = store.manifest(dataset).facts
    has_eval = "eval" in facts["splits"]
    plan = functools.partial(
        TrainPlan,
        training=training.config,
        model=training.model,
        tokenizer_folder=training.reader.tokenizer.folder.resolve(),
        trust_remote_code=training.reader.tokenizer.trust_remote_code,
        chat_template=training.template.source,
        eos_token=training.eos_token,
        train_folder=store.path(dataset) / "train",
        eval_folder=store.path(dataset) / "eval" if has_eval else None,
        prompts=store.path(dataset) / "prompts.arrow" if training.answering and has_eval else None,
        answering=training.answering,
        scoring=training.scoring or Scoring(),
        processor=training.reader.processor,
        images_folder=ImageStore.below(store.root).folder,
        num_processes=training.num_processes,
        source_of_shard=tuple(shard["source"] for shard in facts["shards"]),
    )
    log = log_file(store, TRAIN_MODEL, dataset.name)
    proof = functools.partial(replay, plan, log, context.processes)
    return Work(_train, (plan, log, context), resumes=True, replay=proof)


def _train(
    plan_for: Callable[..., TrainPlan], log: Path, context: RunContext, work: Path, folder: Path
) -> StageOutcome:
    work.mkdir(parents=True, exist_ok=True)
    rewind(work)  # before the metrics are forwarded: lines after the checkpoint will be written again
    context.tracked.follow(work / METRICS_FILE)
    (work / START_FILE).unlink(missing_ok=True)
    plan = plan_for(output_folder=work)
    with TrainingWatch(work, log) as watch:
        launch("sft_core.training", plan, work, log, context.processes, watch.update)
    _take(work, folder, with_checkpoints=plan.training.keep_checkpoints)
    result = TrainResult.model_validate_json((folder / "result.json").read_bytes())
    return StageOutcome(facts={**result.model_dump(), "seed": plan.training.seed}, incidental=INCIDENTAL)


def _take(work: Path, folder: Path, with_checkpoints: bool) -> None:
    """Link the results of training into the artifact; the work folder is kept, in case this run is interrupted."""

    def left_out(parent: str, names: list[str]) -> set[str]:
        unwanted = {LISTENING_FOLDER, START_FILE, *(() if with_checkpoints else (CHECKPOINTS_FOLDER,))}
        return unwanted & set(names) if Path(parent) == work else set()

    shutil.copytree(work, folder, copy_function=link_or_copy, ignore=left_out, dirs_exist_ok=True)
