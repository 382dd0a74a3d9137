"""Train the model in a process of its own, and forward what it reports.

It trains in a folder that outlives failures: the next run of the same recipe finds the checkpoints there and goes on.
"""

import functools
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sft_core.data.chat import TemplateRef
from sft_core.evaluation.answering import AnsweringConfig, Scoring
from sft_core.pretrained.model import ModelRef, libraries_of_model
from sft_core.pretrained.processor import ProcessorRef
from sft_core.pretrained.tokenizer import TokenizerRef
from sft_core.processes.launch import Launch
from sft_core.processes.subprocesses import LISTENING_FOLDER
from sft_core.store.artifact import ArtifactRef, ArtifactStore
from sft_core.store.durable import link_or_copy
from sft_core.store.image_store import ImageStore
from sft_core.store.records import StageOutcome
from sft_core.training import (
    CHECKPOINTS_FOLDER,
    METRICS_FILE,
    START_FILE,
    TrainingConfig,
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
from tasks.workers import Work

if TYPE_CHECKING:
    from tasks.tracking import TrackedRun  # beside MLflow, which takes seconds to import

INCIDENTAL = frozenset({"plan.json", METRICS_FILE, "result.json", "seconds", "resumed_from"})
"""They hold paths and times: two trainings that give the same weights differ in them."""


def _libraries(inputs: Mapping[str, Any]) -> list[str]:
    return [*packages_of(inputs["config"]), *libraries_of_model(inputs["model"])]


@stage(needs_gpu=True, asks_for=_libraries, readers=("datasets", "orjson", "pyarrow"))
def train_model(
    config: TrainingConfig,
    model: ModelRef,
    tokenizer: TokenizerRef,
    processor: ProcessorRef | None,
    template: TemplateRef,
    eos_token: str | None,
    dataset: ArtifactRef,
    answering: AnsweringConfig | None,
    scoring: Scoring | None,
    num_processes: int,
    *,
    processes: Launch,
    run: "TrackedRun",
    store: ArtifactStore,
) -> Work:
    """Train on a packed data set; the artifact holds the model's folder, the metrics, the plan, and samples of
    answers where held-out prompts are answered meanwhile.

    How many processes train is an input, because it decides which blocks share a step; how they are launched is not.
    """
    facts = store.manifest(dataset).facts
    has_eval = "eval" in facts["splits"]
    plan = functools.partial(
        TrainPlan,
        training=config,
        model=model,
        tokenizer_folder=tokenizer.folder.resolve(),
        trust_remote_code=tokenizer.trust_remote_code,
        chat_template=template.source,
        eos_token=eos_token,
        train_folder=store.path(dataset) / "train",
        eval_folder=store.path(dataset) / "eval" if has_eval else None,
        prompts=store.path(dataset) / "prompts.arrow" if answering and has_eval else None,
        answering=answering,
        scoring=scoring or Scoring(),
        processor=processor,
        images_folder=ImageStore.below(store.root).folder,
        num_processes=num_processes,
        source_of_shard=tuple(shard["source"] for shard in facts["shards"]),
    )
    log = log_file(store, "train_model", dataset.name)
    proof = functools.partial(replay, plan, log, processes)
    return Work(_train, (plan, log, processes, run), resumes=True, replay=proof)


def _train(
    plan_for: Callable[..., TrainPlan], log: Path, processes: Launch, run: "TrackedRun", work: Path, folder: Path
) -> StageOutcome:
    work.mkdir(parents=True, exist_ok=True)
    rewind(work)  # before the run follows the lines: what comes after the checkpoint comes again
    run.follow(work / METRICS_FILE)
    (work / START_FILE).unlink(missing_ok=True)
    plan = plan_for(output_folder=work)
    with TrainingWatch(work, log) as watch:
        launch("sft_core.training", plan, work, log, processes, watch.update)
    _take(work, folder, with_checkpoints=plan.training.keep_checkpoints)
    result = TrainResult.model_validate_json((folder / "result.json").read_bytes())
    return StageOutcome(facts={**result.model_dump(), "seed": plan.training.seed}, incidental=INCIDENTAL)


def _take(work: Path, folder: Path, with_checkpoints: bool) -> None:
    """Link what training made into the artifact; until that exists, all stays where an interrupted run would look."""

    def left_out(parent: str, names: list[str]) -> set[str]:
        unwanted = {LISTENING_FOLDER, START_FILE, *(() if with_checkpoints else (CHECKPOINTS_FOLDER,))}
        return unwanted & set(names) if Path(parent) == work else set()

    shutil.copytree(work, folder, copy_function=link_or_copy, ignore=left_out, dirs_exist_ok=True)
