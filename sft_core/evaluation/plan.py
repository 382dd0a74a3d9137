"""Plan of an evaluation process, and the files that it writes: a scorecard, its evidence by row, and samples."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.evaluation.answering import Scoring
from sft_core.evaluation.config import EvaluationConfig
from sft_core.evaluation.harness import LocatedTasks
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.processor import ProcessorRef

SCORECARD_FILE = "scorecard.json"
SAMPLES_FILE = "samples.jsonl"
HARNESS_SAMPLES_FILE = "lm_eval_samples.jsonl"
"""Prompts and answers of lm-eval's tasks; written only if there are such tasks."""
SCORED_ITEMS_FILE = "scored_items.arrow"
"""Table `SCORED_ITEMS`: contribution of each held-out row to each score of the trained model."""
INTERVALS_FILE = "intervals.json"
"""Score → `low` and `high`, the ends of its 95 % bootstrap interval over rows."""
PROGRESS_FILE = "progress.jsonl"
"""Progress of the running evaluation, with at most one line per second; see `sft_core.evaluation.progress`."""


def files_beside_run(folder: Path) -> list[Path]:
    """List the files of an evaluation that are logged with the run unchanged, if they exist."""
    names = (INTERVALS_FILE, SCORED_ITEMS_FILE, HARNESS_SAMPLES_FILE)
    return [folder / name for name in names if (folder / name).exists()]


@dataclass(frozen=True, slots=True)
class EvaluationInputs:
    """Settings of the evaluation of a model; all of them are in the key of an evaluation."""

    config: EvaluationConfig
    """The `evaluation` section."""
    scoring: Scoring
    """The metrics of answers, with the functions of the user among them."""
    harness: LocatedTasks
    """The tasks of lm-eval."""
    processor: ProcessorRef | None = None
    """The image processor of a vision-language model."""
    baseline: ModelRef | None = None
    """The weights that training started from, which are measured too if `evaluation.baseline` is true; None for a model
    that comes from elsewhere."""


class EvaluationPlan(BaseModel):
    """Everything that the evaluation process needs; paths are absolute."""

    model_config = ConfigDict(frozen=True)

    evaluation: EvaluationConfig
    scoring: Scoring = Scoring()
    """Functions and libraries of the metrics that `evaluation` names."""
    harness: LocatedTasks = LocatedTasks()
    """Tasks of lm-eval that `evaluation` names."""
    model_folder: Path
    step: int = 0
    """Number of optimizer steps of the model, for the samples."""
    baseline: ModelRef | None
    """The model before training, if it is measured too."""
    baseline_seed: int
    eval_folder: Path | None
    """Folder of the held-out blocks."""
    source_of_shard: tuple[str, ...] = ()
    """[shards] source of each shard of the data set; empty if the sources are not known."""
    prompts: Path | None
    """File with the held-out prompts (`PROMPTS`)."""
    processor: ProcessorRef | None = None
    """Image processor; None if the model accepts no images."""
    images_folder: Path | None = None
    """Folder of the images that blocks and prompts refer to."""
    output_folder: Path
