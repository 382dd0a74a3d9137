"""One training on prepared blocks by one system: `python -m benchmarks.training_side job.json`.

Both systems get the same blocks (`input_ids`, `labels`, `seq_lengths`), the same random model and the same options; all
other options have their defaults. Ours is `sft_core.training` from a plan to `metrics.jsonl`; TRL's is
`SFTTrainer.train` on rows that need no preparation. The output is a JSON line: seconds and tokens without padding of
each step, and the peak memory.
"""

import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before anything imports the Hub's client

import numpy as np

GIGA = 1e9
System = Literal["ours", "trl"]


@dataclass(frozen=True)
class Job:
    """The training that one process runs."""

    system: System
    folder: str
    """Folder that contains `train/`; the training writes its files into it."""
    model: dict[str, Any]
    """Configuration of the model, with `model_type` and `vocab_size`."""
    is_packed: bool
    max_length: int
    batch_size: int
    steps: int
    warmup: int
    """Number of first steps that are not measured."""
    bf16: bool
    gradient_checkpointing: bool
    attention: str


@dataclass(frozen=True)
class Measured:
    """Measurements of a training, without the warm-up."""

    seconds: list[float]
    """Time of each step."""
    tokens: list[float]
    """Number of tokens of each step, without padding."""
    peak_bytes: int
    first_loss: float
    last_loss: float
    attention: str

    @property
    def tokens_per_second(self) -> float:
        """Return the median over steps."""
        return median(tokens / seconds for tokens, seconds in zip(self.tokens, self.seconds, strict=True))


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return the rows of each block, packed by best fit decreasing."""
    from sft_core.data.packing.bfd import best_fit_decreasing

    rows, block_of = best_fit_decreasing(lengths, capacity)
    return [part.tolist() for part in np.split(rows, np.flatnonzero(np.diff(block_of)) + 1)]


def write_blocks(folder: Path, rows: Sequence[tuple[list[int], list[int]]], capacity: int | None) -> None:
    """Write the data set `train/` of shuffled blocks.

    Args:
        folder: Folder in which `train/` is created.
        rows: Token ids and labels of each row.
        capacity: Tokens per block. None writes one block per row.
    """
    from datasets import Dataset

    lengths = [len(ids) for ids, _ in rows]
    groups = [[row] for row in range(len(rows))] if capacity is None else pack(lengths, capacity)
    columns = {
        "input_ids": [[token for row in group for token in rows[row][0]] for group in groups],
        "labels": [[label for row in group for label in rows[row][1]] for group in groups],
        "seq_lengths": [[lengths[row] for row in group] for group in groups],
    }
    Dataset.from_dict(columns).shuffle(seed=0).save_to_disk(str(folder / "train"))


def measure(job: Job, environment: dict[str, str] | None = None) -> Measured:
    """Run a job in a process of its own.

    Raises:
        RuntimeError: if the process fails, with its output.
    """
    path = Path(job.folder) / f"{job.system}.json"
    path.write_text(json.dumps(dataclasses.asdict(job)), encoding="utf-8")
    command = [sys.executable, "-m", "benchmarks.training_side", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **(environment or {})})
    if done.returncode:
        raise RuntimeError(f"{job.system} failed:\n{done.stdout}\n{done.stderr}")
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def flops(model: dict[str, Any], num_parameters: int, tokens: float, pairs: float) -> float:
    """Return 6 × all parameters × tokens, plus attention over `pairs` of tokens in the same document."""
    from transformers import AutoConfig

    from sft_core.training.speed import flops_per_pair

    return 6 * num_parameters * tokens + flops_per_pair(AutoConfig.for_model(**model)) * pairs


def run_ours(job: Job) -> Measured:
    """Train with `sft_core.training`, and read the metrics of each step."""
    from transformers import PreTrainedTokenizerFast

    from sft_core.pretrained.model import ModelRef
    from sft_core.training import TrainingConfig, TrainPlan
    from sft_core.training.run import train

    folder = Path(job.folder)
    tiny_tokenizer(PreTrainedTokenizerFast).save_pretrained(folder / "tokenizer")
    output = folder / "ours"
    output.mkdir()
    plan = TrainPlan(
        training=TrainingConfig(
            max_steps=job.steps,
            per_device_train_batch_size=job.batch_size,
            bf16=job.bf16,
            gradient_checkpointing=job.gradient_checkpointing,
            logging_steps=1,
        ),
        model=ModelRef(
            path=None,
            commit=None,
            init="config",
            config=job.model,
            dtype="float32",
            attn_implementation=job.attention,
            trust_remote_code=False,
            content_digest="",
        ),
        tokenizer_folder=folder / "tokenizer",
        chat_template=None,
        trust_remote_code=False,
        train_folder=folder / "train",
        eval_folder=None,
        output_folder=output,
        num_processes=1,
    )
    train(plan)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if "tokens_per_second" in line]
    totals = np.array([0, *(line["num_tokens"] for line in lines)])
    tokens = np.diff(totals)
    seconds = tokens / np.array([line["tokens_per_second"] for line in lines])
    return Measured(
        seconds=seconds[job.warmup :].tolist(),
        tokens=tokens[job.warmup :].tolist(),
        peak_bytes=int(lines[-1]["peak_memory_gb"] * GIGA),
        first_loss=lines[0]["loss"],
        last_loss=lines[-1]["loss"],
        attention=json.loads((output / "result.json").read_text(encoding="utf-8"))["attn_implementation"],
    )


def tiny_tokenizer(tokenizer_class: Any) -> Any:
    """Return a tokenizer of two tokens to save with the model; the blocks have token ids already."""
    from tokenizers import Tokenizer, models

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>"))
    return tokenizer_class(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


def run_trl(job: Job) -> Measured:
    """Train with `SFTTrainer`. A step ends when the device has finished it."""
    import torch
    from datasets import load_from_disk
    from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    has_cuda = torch.cuda.is_available()
    ends: list[float] = []

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            if has_cuda:
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    set_seed(42)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config = AutoConfig.for_model(**{**ids, **job.model})
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation=job.attention)
    args = SFTConfig(
        output_dir=str(Path(job.folder) / "trl"),
        max_steps=job.steps,
        per_device_train_batch_size=job.batch_size,
        bf16=job.bf16,
        gradient_checkpointing=job.gradient_checkpointing,
        logging_steps=1,
        max_length=job.max_length,
        packing=job.is_packed,
        packing_strategy="bfd",
        dataset_kwargs={"skip_prepare_dataset": True},
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not has_cuda,
    )
    rows = load_from_disk(str(Path(job.folder) / "train"))
    trainer = SFTTrainer(
        model=model, args=args, train_dataset=rows, processing_class=tiny_tokenizer(PreTrainedTokenizerFast)
    )
    tokens: list[int] = []
    collate = trainer.data_collator

    def counting(blocks: list[dict[str, Any]]) -> Any:
        tokens.append(sum(len(block["input_ids"]) for block in blocks))
        return collate(blocks)

    trainer.data_collator = counting
    trainer.add_callback(Watch())
    trainer.train()
    peak = torch.cuda.max_memory_allocated() if has_cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    return Measured(
        seconds=np.diff(ends)[job.warmup :].tolist(),
        tokens=[float(count) for count in tokens[job.warmup : job.steps]],  # one more batch is fetched than is used
        peak_bytes=int(peak),
        first_loss=losses[0],
        last_loss=losses[-1],
        attention=job.attention,
    )


if __name__ == "__main__":
    job = Job(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    print(json.dumps(dataclasses.asdict(run_ours(job) if job.system == "ours" else run_trl(job))))
