"""What crosses the process boundary: a plan in, a scorecard and samples out."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.evaluation.config import EvaluationConfig
from sft_core.model import ModelRef

SCORECARD_FILE = "scorecard.json"
SAMPLES_FILE = "samples.jsonl"


class EvaluationPlan(BaseModel):
    """All that the evaluator needs; paths are absolute."""

    model_config = ConfigDict(frozen=True)

    evaluation: EvaluationConfig
    model_folder: Path
    baseline: ModelRef | None
    """The model before training, where it is to be measured too."""
    baseline_seed: int
    eval_folder: Path | None
    """Held-out blocks."""
    prompts: Path | None
    """Held-out prompts (`PROMPTS`)."""
    output_folder: Path
