"""Inputs of an evaluation other than the model and the data set; they decide the scores."""

from dataclasses import dataclass

from sft_core.evaluation.answering import Scoring
from sft_core.evaluation.config import EvaluationConfig
from sft_core.evaluation.harness import LocatedTasks
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.processor import ProcessorRef


@dataclass(frozen=True, slots=True)
class EvaluationInputs:
    """How a model is measured; all of it is in the key of an evaluation."""

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
