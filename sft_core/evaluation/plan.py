"""What crosses the process boundary: a plan in; a scorecard, the evidence behind it, and samples out."""

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
"""What the model was asked by lm-eval's tasks, and answered; only where there are any."""
SCORED_ITEMS_FILE = "scored_items.arrow"
"""`SCORED_ITEMS`: what each held-out row adds to each score of the trained model."""
INTERVALS_FILE = "intervals.json"
"""Score → `low` and `high`, between which it is likely to be over other rows."""
PROGRESS_FILE = "progress.jsonl"
"""While it runs: how far it is, a line each second; see `sft_core.evaluation.progress`."""


def files_beside_run(folder: Path) -> list[Path]:
    """Of an evaluation's files, those that are laid beside the run as they are."""
    names = (INTERVALS_FILE, SCORED_ITEMS_FILE, HARNESS_SAMPLES_FILE)
    return [folder / name for name in names if (folder / name).exists()]


class EvaluationPlan(BaseModel):
    """All that the evaluator needs; paths are absolute."""

    model_config = ConfigDict(frozen=True)

    evaluation: EvaluationConfig
    scoring: Scoring = Scoring()
    """Where the metrics that the section names are."""
    harness: LocatedTasks = LocatedTasks()
    """Tasks of lm-eval that the section names."""
    model_folder: Path
    step: int = 0
    """Optimizer steps behind the model, for the samples."""
    baseline: ModelRef | None
    """The model before training, where it is to be measured too."""
    baseline_seed: int
    eval_folder: Path | None
    """Held-out blocks."""
    source_of_shard: tuple[str, ...] = ()
    """[shards] of the data set: which source each belongs to; empty if they are not known."""
    prompts: Path | None
    """Held-out prompts (`PROMPTS`)."""
    processor: ProcessorRef | None = None
    """Shows images; None where the model sees none."""
    images_folder: Path | None = None
    """Of the images that blocks and prompts refer to."""
    output_folder: Path
