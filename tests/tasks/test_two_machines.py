"""Two machines train one model: here both are this one, and the second joins by the command in the log's first line."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from sft_core.pretrained.model import ModelRef
from sft_core.processes.launch import Launch, read_launch
from sft_core.processes.runtime import RuntimeConfig
from sft_core.training import TrainingConfig, TrainPlan
from tasks.processes.launching import launch
from tests.loopback import free_port

PROJECT = Path(__file__).parents[2]
VOCABULARY = 48
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("forked_processes")]


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    word_level = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    PreTrainedTokenizerFast(tokenizer_object=word_level, pad_token="<pad>", eos_token="<eos>").save_pretrained(
        tmp_path / "tokenizer"
    )
    return tmp_path / "tokenizer"


@pytest.fixture
def train_folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(1)
    ids = [random.integers(2, VOCABULARY, size=8).tolist() for _ in range(8)]
    rows = {"input_ids": ids, "loss_mask": [[1] * 8] * 8, "seq_lengths": [[8]] * 8}
    Dataset.from_dict(rows).save_to_disk(tmp_path / "train")
    return tmp_path / "train"


def losses(processes: Launch, batch: int, output: Path, tokenizer_folder: Path, train_folder: Path) -> list[float]:
    """Train for three steps, and read the losses of the first machine."""
    output.mkdir()
    log, joined = output / "log", []
    model = {"init": "config", "config": LLAMA, "dtype": "float32", "attn_implementation": "sdpa"}
    plan = TrainPlan(
        training=TrainingConfig(max_steps=3, logging_steps=1, learning_rate=1e-3, per_device_train_batch_size=batch),
        model=ModelRef(path=None, commit=None, trust_remote_code=False, content_digest="x", **model),
        tokenizer_folder=tokenizer_folder,
        chat_template=None,
        trust_remote_code=False,
        train_folder=train_folder,
        eval_folder=None,
        output_folder=output,
        num_processes=processes.num_processes,
    )

    def join() -> None:
        if processes.num_machines > 1 and not joined:
            command = log.read_text().splitlines()[0].partition("machine 1 joins with: ")[2]
            joined.append(
                subprocess.Popen(
                    command,
                    shell=True,
                    env={**os.environ, "PYTHONPATH": str(PROJECT)},
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )

    launch("sft_core.training", plan, output, log, processes, join)
    assert [process.wait(60) for process in joined] == [0] * (processes.num_machines - 1)
    lines = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    return [line["loss"] for line in lines]


def test_two_machines_give_the_losses_of_one(tmp_path: Path, tokenizer_folder: Path, train_folder: Path) -> None:
    two = read_launch(
        RuntimeConfig(
            launch={"num_machines": 2, "main_process_ip": "127.0.0.1", "main_process_port": free_port(), "cpu": True}
        )
    )
    alone = losses(Launch(), 4, tmp_path / "one", tokenizer_folder, train_folder)
    together = losses(two, 2, tmp_path / "two", tokenizer_folder, train_folder)
    assert together == pytest.approx(alone, rel=1e-5)
