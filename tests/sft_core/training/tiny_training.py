"""A training of seconds, with dropout, in processes of its own: what tests of interruption begin, end and compare."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from sft_core.pretrained.model import ModelRef
from sft_core.processes.subprocesses import LISTENING_FOLDER, forget_endings
from sft_core.training import TrainingConfig, TrainPlan
from tests.warm import warm_python

PROJECT = Path(__file__).parents[3]
VOCABULARY = 48
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "n_positions": 64,
    "resid_pdrop": 0.1,
    "embd_pdrop": 0.1,
    "attn_pdrop": 0.1,
}
OPTIONS: dict[str, Any] = {
    "num_train_epochs": 8,
    "per_device_train_batch_size": 4,
    "learning_rate": 1e-2,
    "logging_steps": 2,
    "gradient_checkpointing": False,
    "eval_strategy": "epoch",
    "eval_on_start": True,
    "save_steps": 3,
}
STEPS = 32
"""Of 13 blocks, 4 a step, 8 epochs."""


@dataclass(frozen=True)
class TinyTraining:
    """One training: its plan, and what it leaves behind."""

    plan: TrainPlan
    module: str = "sft_core.training"
    """Which the processes run."""

    @property
    def folder(self) -> Path:
        return self.plan.output_folder

    def start(self) -> "subprocess.Popen[bytes]":
        """Start it, on one thread a process: sums then have one order."""
        forget_endings(self.folder)
        plan = self.folder / "plan.json"
        plan.write_text(self.plan.model_dump_json())
        launcher = ["torch.distributed.run", "--standalone", "--nproc_per_node", str(self.plan.num_processes), "-m"]
        command = ["-m", *(launcher if self.plan.num_processes > 1 else []), self.module, str(plan)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": ""}
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen([warm_python(), *command], env=environment, stdout=log, stderr=log)

    def finish(self) -> None:
        """Run it to its end."""
        assert self.start().wait(240) == 0, self.log

    def kill(self, process: "subprocess.Popen[bytes]") -> None:
        """End it at once, with all of its trainers, and wait until none of them is left."""
        trainers = [int(file.name.partition("@")[0]) for file in (self.folder / LISTENING_FOLDER).glob("*")]
        for pid in (*trainers, process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(60)
        deadline = time.monotonic() + 60
        while any(Path(f"/proc/{pid}").exists() for pid in trainers):
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def run_until(self, condition: Callable[[], bool]) -> "subprocess.Popen[bytes]":
        """Start it, and wait until something holds or it has ended."""
        process = self.start()
        deadline = time.monotonic() + 120
        while process.poll() is None and not condition():
            assert time.monotonic() < deadline, self.log
            time.sleep(0.001)
        return process

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def lines(self) -> list[dict[str, Any]]:
        """All that it reported, but the time of day."""
        metrics = self.folder / "metrics.jsonl"
        text = metrics.read_text() if metrics.exists() else ""
        parsed = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [{name: value for name, value in line.items() if name not in TIMES} for line in parsed]

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return found

    def outcome(self) -> tuple[bytes, list[dict[str, Any]], int, int]:
        """What has to be equal to the last bit: weights, metrics, counters."""
        result = self.result()
        weights = (self.folder / "model" / "model.safetensors").read_bytes()
        return weights, self.lines(), result["num_tokens"], result["global_step"]


TIMES = ("time", "tokens_per_second", "peak_memory_gb", "mfu")
"""What a line says of the clock: no two trainings have it in common."""


def tiny_training(
    root: Path, name: str, num_processes: int = 1, model: dict[str, Any] | None = None, **options: Any
) -> TinyTraining:
    """Lay out a training below a folder; all below one folder have the same data."""
    if not (root / "tokenizer").exists():
        write_tokenizer(root / "tokenizer")
        write_blocks(root / "train", seed=1)
        write_blocks(root / "eval", seed=2)
    output = root / name
    output.mkdir()
    ref = ModelRef(
        path=None,
        commit=None,
        init="config",
        config={**GPT2, **(model or {})},
        dtype="float32",
        attn_implementation="sdpa",
        trust_remote_code=False,
        content_digest="x",
    )
    plan = TrainPlan(
        training=TrainingConfig(**{**OPTIONS, **options}),
        model=ref,
        tokenizer_folder=root / "tokenizer",
        chat_template=None,
        eos_token=None,
        trust_remote_code=False,
        train_folder=root / "train",
        eval_folder=root / "eval",
        output_folder=output,
        num_processes=num_processes,
    )
    return TinyTraining(plan)


def write_tokenizer(folder: Path) -> None:
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>").save_pretrained(folder)


def write_blocks(folder: Path, seed: int, num_blocks: int = 13) -> None:
    """Ragged blocks of one to three documents; all but a third of the tokens are targets."""
    random = np.random.default_rng(seed)
    blocks = []
    for _ in range(num_blocks):
        lengths = random.integers(2, 8, size=random.integers(1, 4)).tolist()
        ids = random.integers(2, VOCABULARY, sum(lengths)).tolist()
        mask = (random.random(sum(lengths)) < 0.7).astype(np.uint8)
        mask[1] = 1
        blocks.append({"input_ids": ids, "seq_lengths": lengths, "loss_mask": mask.tolist()})
    Dataset.from_list(blocks).save_to_disk(str(folder))
