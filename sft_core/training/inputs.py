"""Inputs that, together with the data set, determine the result of a training."""

from dataclasses import dataclass

from sft_core.data.chat import TemplateRef
from sft_core.evaluation.answering import AnsweringConfig, Scoring
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.reader import Reader
from sft_core.training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class TrainInputs:
    """All inputs of a training except the data set. All of them are part of the key of the training stage."""

    config: TrainingConfig
    """The recipe's `training` section."""
    model: ModelRef
    """The weights that training starts from."""
    reader: Reader
    """Tokenizer and image processor, which are saved with the model."""
    template: TemplateRef
    """The chat template, which is saved with the model."""
    eos_token: str | None
    """The token that ends a generation, if the recipe names one; it is saved with the model."""
    num_processes: int
    """Number of training processes, which decides which blocks share a step. How they are launched is not an input."""
    answering: AnsweringConfig | None = None
    """Settings for answers to held-out prompts at each evaluation during training. None: no prompts are answered."""
    scoring: Scoring | None = None
    """Metrics that score these answers."""
