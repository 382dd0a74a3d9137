"""Trained side by side with a live `SFTTrainer`: the same rows in the same order, from the same weights, in float32.

Losses and norms of the gradient agree at every one of 20 steps, however the rows are laid out, for both losses, and
whether all weights train or an adapter. What differs on purpose is compared with a brute-force computation: accuracy,
which TRL averages over micro-batches of unequal size, and the loss over held-out rows.
"""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from trl import SFTConfig, SFTTrainer, pack_dataset

from sft_core.pretrained.model import ModelRef
from sft_core.training import TrainingConfig, TrainPlan
from sft_core.training.run import train
from tests.full_size import covering

pytestmark = pytest.mark.parity

STEPS = 20
VOCABULARY = 64
BLOCK_TOKENS = 48
LAYOUTS = ("no packing", "padding-free", "bfd")
LOSSES: dict[str, dict[str, Any]] = {
    "nll": {},
    "dft": {"loss_type": "dft"},
    "smoothed": {"label_smoothing_factor": 0.2},
}
LORA = {"r": 4, "lora_alpha": 8, "lora_dropout": 0.0, "target_modules": ["q_proj", "v_proj", "down_proj"]}
COMMON: dict[str, Any] = {
    "max_steps": STEPS,
    "per_device_train_batch_size": 3,
    "gradient_accumulation_steps": 2,
    "learning_rate": 3e-3,
    "logging_steps": 1,
    "train_sampling_strategy": "sequential",
    "gradient_checkpointing": False,
    "seed": 11,
}


def tokenizer_of_ids() -> PreTrainedTokenizerFast:
    """A tokenizer that nobody asks for more than its ids."""
    words = {"<pad>": 0, "<eos>": 1, **{f"w{number}": number for number in range(2, VOCABULARY)}}
    backend = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a head of its own, as large as its tokenizer."""
    torch.manual_seed(5)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    folder = tmp_path_factory.mktemp("base")
    LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **shape)).save_pretrained(folder)
    return folder


def rows_of(seed: int, count: int) -> list[dict[str, list[int]]]:
    """Ragged rows whose first part is a prompt."""
    random = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        ids = random.integers(2, VOCABULARY, size=random.integers(4, BLOCK_TOKENS)).tolist()
        prompt = int(random.integers(1, len(ids) - 1))
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return rows


def laid_out(layout: str, rows: list[dict[str, list[int]]]) -> Dataset:
    """Rows, or the blocks that TRL packs them into."""
    dataset = Dataset.from_list(rows)
    if layout == "bfd":
        return pack_dataset(dataset, BLOCK_TOKENS, "bfd", {"batch_size": len(rows)})
    return dataset


def by_trl(layout: str, loss: str, is_lora: bool, base: Path, folder: Path) -> list[dict[str, float]]:
    args = SFTConfig(
        output_dir=str(folder),
        report_to="none",
        use_cpu=True,
        bf16=False,
        max_length=BLOCK_TOKENS if layout == "bfd" else None,
        packing=layout == "bfd",
        padding_free=layout != "no packing",
        dataset_kwargs={"skip_prepare_dataset": True},
        save_strategy="no",
        disable_tqdm=True,
        **COMMON,
        **LOSSES[loss],
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        args=args,
        train_dataset=laid_out(layout, rows_of(1, 90)),
        processing_class=tokenizer_of_ids(),
        peft_config=LoraConfig(task_type="CAUSAL_LM", **LORA) if is_lora else None,
    )
    trainer.train()
    return [line for line in trainer.state.log_history if "loss" in line]


def by_us(layout: str, loss: str, is_lora: bool, base: Path, folder: Path) -> list[dict[str, float]]:
    blocks = laid_out(layout, rows_of(1, 90)).to_list()
    alone = [{**block, "seq_lengths": block.get("seq_lengths", [len(block["input_ids"])])} for block in blocks]
    Dataset.from_list(alone).save_to_disk(str(folder / "train"))
    tokenizer_of_ids().save_pretrained(folder / "tokenizer")
    return trained(base, folder, padding_free=layout == "padding-free", is_lora=is_lora, **LOSSES[loss])


def trained(base: Path, folder: Path, is_lora: bool = False, **training: Any) -> list[dict[str, float]]:
    """Train by our trainer on the blocks in the folder, and return its lines of metrics."""
    if is_lora:
        training |= {"peft": {"peft_type": "LORA", **LORA}}
    plan = TrainPlan(
        training=TrainingConfig(**{**COMMON, **training}),
        model=ModelRef(
            path=str(base),
            commit=None,
            init="pretrained",
            config={},
            dtype="float32",
            attn_implementation="sdpa",
            trust_remote_code=False,
            content_digest="base",
        ),
        tokenizer_folder=folder / "tokenizer",
        chat_template=None,
        trust_remote_code=False,
        train_folder=folder / "train",
        eval_folder=folder / "eval" if (folder / "eval").exists() else None,
        output_folder=folder,
        num_processes=1,
    )
    train(plan)
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def cells() -> list[Any]:
    """Layout, loss, and whether an adapter is trained; the first is in `make test` as well."""
    first, *others = covering(itertools.product(LAYOUTS, LOSSES, [False, True]), lambda cell: cell)
    sample = pytest.param(*first, marks=pytest.mark.sample)
    return [sample, *(pytest.param(*cell) for cell in others)]


@pytest.mark.parametrize(("layout", "loss", "is_lora"), cells())
def test_losses_and_gradient_norms_are_those_of_trl(
    layout: str, loss: str, is_lora: bool, base: Path, tmp_path: Path
) -> None:
    theirs = by_trl(layout, loss, is_lora, base, tmp_path / "theirs")
    ours = [line for line in by_us(layout, loss, is_lora, base, tmp_path / "ours") if "loss" in line]
    assert len(ours) == len(theirs) == STEPS
    for name in ("loss", "grad_norm", "learning_rate"):
        assert [line[name] for line in ours] == pytest.approx([line[name] for line in theirs], rel=1e-5), name
    assert ours[0]["loss"] != pytest.approx(ours[-1]["loss"], rel=1e-3), "something was learnt"


def test_accuracy_is_a_mean_over_tokens_where_trl_takes_one_of_micro_batches(base: Path, tmp_path: Path) -> None:
    """Of the first step: two micro-batches of three rows, with unequal numbers of targets."""
    theirs = by_trl("no packing", "nll", False, base, tmp_path / "theirs")[0]["mean_token_accuracy"]
    ours = by_us("no packing", "nll", False, base, tmp_path / "ours")[0]["mean_token_accuracy"]
    _, hits, counts = zip(*(measured(base, row) for row in rows_of(1, 6)), strict=True)
    micro_batches = [sum(hits[start : start + 3]) / sum(counts[start : start + 3]) for start in (0, 3)]
    assert ours == pytest.approx(sum(hits) / sum(counts), rel=1e-6)
    assert theirs == pytest.approx(sum(micro_batches) / 2, rel=1e-6)
    assert ours != pytest.approx(theirs, rel=1e-3)


def measured(base: Path, row: dict[str, list[int]]) -> tuple[float, int, int]:
    """Loss and hits, summed over the targets of one row, and their number."""
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32).eval()
    ids, labels = torch.tensor(row["input_ids"]), torch.tensor(row["labels"][1:])
    with torch.no_grad():
        log_p = torch.log_softmax(model(ids[None]).logits[0, :-1].double(), -1)[labels != -100]
    labels = labels[labels != -100]
    loss = -log_p.gather(-1, labels[:, None]).sum().item()
    return loss, int((log_p.argmax(-1) == labels).sum()), len(labels)


@pytest.mark.parametrize("batch_size", [1, 5, 8])
def test_the_held_out_loss_is_a_mean_over_tokens(batch_size: int, base: Path, tmp_path: Path) -> None:
    held_out = rows_of(2, 13)
    for split in ("train", "eval"):
        blocks = [{**row, "seq_lengths": [len(row["input_ids"])]} for row in held_out]
        Dataset.from_list(blocks).save_to_disk(str(tmp_path / split))
    tokenizer_of_ids().save_pretrained(tmp_path / "tokenizer")
    options = {"eval_on_start": True, "eval_strategy": "steps", "per_device_eval_batch_size": batch_size}
    loss = trained(base, tmp_path, max_steps=1, **options)[0]["eval_loss"]
    losses, _, counts = zip(*(measured(base, row) for row in held_out), strict=True)
    assert loss == pytest.approx(sum(losses) / sum(counts), rel=1e-6)
