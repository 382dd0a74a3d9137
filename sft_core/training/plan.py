"""What crosses the process boundary: `plan.json` in, `metrics.jsonl` and a model folder out."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.model import ModelRef
from sft_core.training.config import TrainingConfig

METRICS_FILE = "metrics.jsonl"
MODEL_FOLDER = "model"


class TrainPlan(BaseModel):
    """All that the trainer needs; paths are absolute, and nothing is looked up anywhere else."""

    model_config = ConfigDict(frozen=True)

    training: TrainingConfig
    model: ModelRef
    tokenizer_folder: Path
    chat_template: str | None
    """Saved with the model, where the recipe brings its own."""
    eos_token: str | None = None
    """At which generation stops, where the recipe names one; saved with the model."""
    trust_remote_code: bool
    train_folder: Path
    eval_folder: Path | None
    output_folder: Path
    """Gets `model/`, `metrics.jsonl` and `result.json`."""
    num_processes: int
    source_of_shard: tuple[str, ...] = ()
    """[shards] of the data set: which source each belongs to; empty if the losses of sources are not told apart."""


class TrainResult(BaseModel):
    """What the trainer says at the end, in `result.json`."""

    global_step: int
    num_tokens: int
    """Tokens seen, without padding."""
    seconds: float
    num_parameters: int
    device: str
    bf16: bool
    attn_implementation: str
    """What `auto` came to."""
    padding_free: bool
