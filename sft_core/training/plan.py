"""Files between the flow and a training process: `plan.json` as input; `metrics.jsonl` and a model folder as output."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from sft_core.data.chat import TemplateRef
from sft_core.evaluation.answering import AnsweringConfig, Scoring
from sft_core.pretrained.model import ModelRef
from sft_core.pretrained.processor import ProcessorRef
from sft_core.pretrained.reader import Reader
from sft_core.training.config import TrainingConfig

METRICS_FILE = "metrics.jsonl"
MODEL_FOLDER = "model"
ADAPTER_FOLDER = "adapter"
PROBE_FILE = "probe.safetensors"
SAMPLES_FILE = "samples.jsonl"
START_FILE = "start.json"


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


class TrainPlan(BaseModel):
    """Everything that the trainer needs. Paths are absolute, and nothing is read from anywhere else."""

    model_config = ConfigDict(frozen=True)

    training: TrainingConfig
    model: ModelRef
    tokenizer_folder: Path
    chat_template: str | None
    """Chat template that is saved with the model; None: the tokenizer's own."""
    eos_token: str | None = None
    """Token that ends a generation, saved with the model; None: the tokenizer's own."""
    trust_remote_code: bool
    train_folder: Path
    eval_folder: Path | None
    prompts: Path | None = None
    """File of held-out prompts (`PROMPTS`) that are answered at each evaluation; None: no prompts are answered."""
    answering: AnsweringConfig | None = None
    """Settings for the answers; None: no prompts are answered."""
    scoring: Scoring = Scoring()
    """The user's functions and libraries that compute the metrics of `answering`."""
    output_folder: Path
    """Folder for `model/`, `probe.safetensors`, `metrics.jsonl`, `start.json`, `result.json`, `adapter/` if an adapter
    is trained, and `samples.jsonl` if prompts are answered. During training it also has `checkpoints/`, from which an
    interrupted training resumes."""
    num_processes: int
    processor: ProcessorRef | None = None
    """Image processor of a vision-language model, which is saved with the model; None for other models."""
    images_folder: Path | None = None
    """Folder of the `ImageStore` with the images that blocks and prompts refer to."""
    source_of_shard: tuple[str, ...] = ()
    """[shards] source of each shard of the data set; empty if sources have no losses of their own."""


class TrainStart(BaseModel):
    """Content of `start.json`, which the trainer writes before its first step."""

    device: str
    dtype: str
    """Type in which matrix products are computed: `float32`, `bfloat16` or `float16`."""
    attn_implementation: str
    num_processes: int
    num_parameters: int
    num_trained_parameters: int
    num_blocks: int
    """Number of blocks in the train split."""
    num_idle_gpus: int = 0
    """Number of GPUs that a training in a single process leaves unused; 0 with several processes."""

    def in_words(self) -> str:
        """Return all fields as one message."""
        share = self.num_trained_parameters / max(self.num_parameters, 1)
        trained = "all trained" if share == 1 else f"{self.num_trained_parameters:,} trained ({share:.2%})"
        places = self.device if self.num_processes == 1 else f"{self.num_processes} × {self.device}"
        idle = f"; GPUs left idle: {self.num_idle_gpus}, see `runtime.num_processes`" if self.num_idle_gpus else ""
        return (
            f"training on {places} in {self.dtype}, attention {self.attn_implementation}: {self.num_parameters:,} "
            f"parameters, {trained}; {self.num_blocks:,} blocks an epoch{idle}"
        )


class TrainResult(BaseModel):
    """Content of `result.json`, which the trainer writes at the end."""

    global_step: int
    num_tokens: int
    """Number of tokens seen, without padding."""
    resumed_from: int | None
    """Step of the checkpoint from which the training last resumed; None if it never resumed."""
    seconds: float
    """Seconds of training, including those before an interruption."""
    num_parameters: int
    num_trained_parameters: int
    is_merged: bool
    """True if `model/` holds all weights, False if it holds an adapter for its base model."""
    device: str
    bf16: bool
    attn_implementation: str
    """Attention implementation that was used, to which `auto` was resolved."""
    padding_free: bool
