"""Everything beside the data set that decides what a training gives."""

from dataclasses import dataclass, fields
from typing import Any

from sft_core.data.chat import TemplateRef
from sft_core.evaluation.answering import AnsweringConfig, Scoring
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.reader import Reader
from sft_core.training.config import TrainingConfig


@dataclass(frozen=True, slots=True)
class TrainInputs:
    """What is trained, from which weights, and how it is measured meanwhile; all of it is in the key of a training."""

    config: TrainingConfig
    """The `training` section."""
    model: ModelRef
    """The weights that training starts from."""
    reader: Reader
    """Tokenizer and image processor, which are saved with the model."""
    template: TemplateRef
    """The chat template, which is saved with the model."""
    eos_token: str | None
    """The token that ends a generation, if the recipe names one; it is saved with the model."""
    num_processes: int
    """Number of processes that train: it decides which blocks share a step. How they are launched is not an input."""
    answering: AnsweringConfig | None = None
    """How held-out prompts are answered at each evaluation during training; None: they are not answered."""
    scoring: Scoring | None = None
    """The metrics of these answers."""

    def fingerprint(self) -> dict[str, Any]:
        """Return every field by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
