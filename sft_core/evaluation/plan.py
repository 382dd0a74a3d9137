"""What crosses the process boundary: a plan in, a scorecard and samples out."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.answering import Scoring
from sft_core.evaluation.config import EvaluationConfig
from sft_core.model import ModelRef

SCORECARD_FILE = "scorecard.json"
SAMPLES_FILE = "samples.jsonl"


class EvaluationPlan(BaseModel):
    """All that the evaluator needs; paths are absolute."""

    model_config = ConfigDict(frozen=True)

    evaluation: EvaluationConfig
    scoring: Scoring = Scoring()
    """Where the metrics that the section names are."""
    model_folder: Path
    step: int = 0
    """Optimizer steps behind the model, for the samples."""
    baseline: ModelRef | None
    """The model before training, where it is to be measured too."""
    baseline_seed: int
    eval_folder: Path | None
    """Held-out blocks."""
    prompts: Path | None
    """Held-out prompts (`PROMPTS`)."""
    output_folder: Path
