"""What crosses the process boundary: `plan.json` in, `metrics.jsonl` and a model folder out."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.evaluation.answering import AnsweringConfig, Scoring
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.processor import ProcessorRef
from sft_core.training.config import TrainingConfig

METRICS_FILE = "metrics.jsonl"
MODEL_FOLDER = "model"
ADAPTER_FOLDER = "adapter"
PROBE_FILE = "probe.safetensors"
SAMPLES_FILE = "samples.jsonl"
START_FILE = "start.json"


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
    prompts: Path | None = None
    """Held-out prompts (`PROMPTS`), where they are answered at each evaluation."""
    answering: AnsweringConfig | None = None
    """How; None: they are not."""
    scoring: Scoring = Scoring()
    """Where the metrics that `answering` names are."""
    output_folder: Path
    """Gets `model/`, `probe.safetensors`, `metrics.jsonl`, `result.json`, `adapter/` where one was trained, and
    `samples.jsonl` where prompts are answered; while training, `checkpoints/`, from which a training that was
    interrupted goes on."""
    num_processes: int
    processor: ProcessorRef | None = None
    """Of a model of images: makes what the model sees of them, and is saved with the model."""
    images_folder: Path | None = None
    """The `ImageStore` of the images that blocks and prompts refer to."""
    source_of_shard: tuple[str, ...] = ()
    """[shards] of the data set: which source each belongs to; empty if the losses of sources are not told apart."""


class TrainStart(BaseModel):
    """What the trainer says in `start.json`, before its first step."""

    device: str
    dtype: str
    """Of the arithmetic: `float32`, `bfloat16` or `float16`."""
    attn_implementation: str
    num_processes: int
    num_parameters: int
    num_trained_parameters: int
    num_blocks: int
    """Of the train split."""
    num_idle_gpus: int = 0
    """Beside the one that the training has, where it is one process."""

    def in_words(self) -> str:
        """All of it in a sentence."""
        share = self.num_trained_parameters / max(self.num_parameters, 1)
        trained = "all trained" if share == 1 else f"{self.num_trained_parameters:,} trained ({share:.2%})"
        places = self.device if self.num_processes == 1 else f"{self.num_processes} × {self.device}"
        idle = f"; GPUs left idle: {self.num_idle_gpus}, see `runtime.num_processes`" if self.num_idle_gpus else ""
        return (
            f"training on {places} in {self.dtype}, attention {self.attn_implementation}: {self.num_parameters:,} "
            f"parameters, {trained}; {self.num_blocks:,} blocks an epoch{idle}"
        )


class TrainResult(BaseModel):
    """What the trainer says at the end, in `result.json`."""

    global_step: int
    num_tokens: int
    """Tokens seen, without padding."""
    resumed_from: int | None
    """The step of the checkpoint that the last process went on from; None if it began."""
    seconds: float
    """Of training, with what was done before it was interrupted."""
    num_parameters: int
    num_trained_parameters: int
    is_merged: bool
    """Whether `model/` holds all weights; else it is an adapter, for its base."""
    device: str
    bf16: bool
    attn_implementation: str
    """What `auto` came to."""
    padding_free: bool
