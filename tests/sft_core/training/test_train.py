"""The trainer in this process: its numbers against a brute-force computation, its order, what it leaves behind."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, set_seed

from sft_core.errors import RecipeError, StageFailedError
from sft_core.modeling import load_model
from sft_core.pretrained.model import ModelRef
from sft_core.training import TrainingConfig, TrainPlan
from sft_core.training.run import train

VOCABULARY = 48
LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<eos>")), pad_token="<pad>", eos_token="<eos>"
    )
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save_pretrained(folder)
    return folder


def write_blocks(folder: Path, seed: int, num_blocks: int = 13) -> list[dict]:
    """Ragged blocks of one to three documents, with masks that leave some tokens out."""
    random = np.random.default_rng(seed)
    blocks = []
    for _ in range(num_blocks):
        lengths = random.integers(2, 8, size=random.integers(1, 4)).tolist()
        total = sum(lengths)
        mask = (random.random(total) < 0.7).astype(np.uint8)
        mask[1] = 1
        blocks.append(
            {
                "input_ids": random.integers(2, VOCABULARY, total).tolist(),
                "seq_lengths": lengths,
                "loss_mask": mask.tolist(),
            }
        )
    Dataset.from_list(blocks).save_to_disk(str(folder))
    return blocks


def model_ref(**overrides: object) -> ModelRef:
    fields = {
        "path": None,
        "commit": None,
        "init": "config",
        "config": LLAMA,
        "dtype": "float32",
        "attn_implementation": "sdpa",
        "trust_remote_code": False,
        "content_digest": "x",
    }
    return ModelRef(**{**fields, **overrides})


def run(
    tmp_path: Path,
    tokenizer_folder: Path,
    name: str = "out",
    num_processes: int = 1,
    eos_token: str | None = None,
    model: dict | None = None,
    source_of_shard: tuple[str, ...] = (),
    **training: object,
) -> tuple[Path, list[dict]]:
    """Train on the blocks in `tmp_path`, and return the output folder and the lines of `metrics.jsonl`."""
    for split, seed in (("train", 1), ("eval", 2)):
        if not (tmp_path / split).exists():
            write_blocks(tmp_path / split, seed)
    output = tmp_path / name
    output.mkdir()
    options = {
        "learning_rate": 1e-3,
        "logging_steps": 1,
        "max_steps": 3,
        "per_device_train_batch_size": 4,
        "gradient_checkpointing": False,
    }
    plan = TrainPlan(
        training=TrainingConfig(**{**options, **training}),
        model=model_ref(**(model or {})),
        tokenizer_folder=tokenizer_folder,
        chat_template=None,
        eos_token=eos_token,
        trust_remote_code=False,
        train_folder=tmp_path / "train",
        eval_folder=tmp_path / "eval",
        output_folder=output,
        num_processes=num_processes,
        source_of_shard=source_of_shard,
    )
    train(plan)
    return output, [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def brute_force(model: torch.nn.Module, blocks: list[dict]) -> tuple[float, float, float]:
    """Mean loss, entropy and accuracy over all targets, document by document, without batches or masks."""
    losses, entropies, hits = [], [], []
    for block in blocks:
        start = 0
        for length in block["seq_lengths"]:
            ids = torch.tensor(block["input_ids"][start : start + length])
            mask = block["loss_mask"][start : start + length]
            with torch.no_grad():
                log_p = torch.log_softmax(model(ids[None]).logits[0].double(), -1)
            for position in range(1, length):
                if mask[position]:
                    row = log_p[position - 1]
                    losses.append(-row[ids[position]].item())
                    entropies.append(-(row.exp() * row).sum().item())
                    hits.append(float(row.argmax() == ids[position]))
            start += length
    return float(np.mean(losses)), float(np.mean(entropies)), float(np.mean(hits))


def fresh_model(tokenizer_folder: Path) -> torch.nn.Module:
    return load_model(model_ref(), AutoTokenizer.from_pretrained(tokenizer_folder), seed=42).eval()


def test_first_loss_and_eval_loss_equal_a_brute_force_computation(tmp_path: Path, tokenizer_folder: Path) -> None:
    _, lines = run(
        tmp_path,
        tokenizer_folder,
        max_steps=1,
        per_device_train_batch_size=13,
        eval_strategy="steps",
        eval_steps=1,
        eval_on_start=True,
    )
    start, first = lines[0], next(line for line in lines if "loss" in line)
    blocks = {split: Dataset.load_from_disk(str(tmp_path / split)).to_list() for split in ("train", "eval")}
    model = fresh_model(tokenizer_folder)
    for line, prefix, split in ((first, "", "train"), (start, "eval_", "eval")):
        loss, entropy, accuracy = brute_force(model, blocks[split])
        assert line[f"{prefix}loss"] == pytest.approx(loss, rel=1e-5)
        assert line[f"{prefix}entropy"] == pytest.approx(entropy, rel=1e-5)
        assert line[f"{prefix}mean_token_accuracy"] == pytest.approx(accuracy, abs=1e-9)
    assert first["num_tokens"] == sum(len(block["input_ids"]) for block in blocks["train"])
    assert first["grad_norm"] > 0
    assert "learning_rate" in first


def test_batch_size_times_accumulation_does_not_change_the_numbers(tmp_path: Path, tokenizer_folder: Path) -> None:
    _, whole = run(tmp_path, tokenizer_folder, "whole", per_device_train_batch_size=4, gradient_accumulation_steps=1)
    _, parts = run(tmp_path, tokenizer_folder, "parts", per_device_train_batch_size=1, gradient_accumulation_steps=4)
    for a, b in zip(whole, parts, strict=True):
        for name in ("loss", "entropy", "mean_token_accuracy", "grad_norm", "num_tokens"):
            assert a[name] == pytest.approx(b[name], rel=1e-5), name


def test_weights_of_tokens_reach_the_loss_whatever_the_micro_batches_are(
    tmp_path: Path, tokenizer_folder: Path
) -> None:
    """A weight of 0 leaves a token out: the same numbers as with a mask that leaves it out, and the weights' own
    denominator."""
    blocks = write_blocks(tmp_path / "plain", 1)
    random = np.random.default_rng(3)
    for block in blocks:
        block["loss_weights"] = random.choice([0.0, 0.5, 2.0], len(block["input_ids"])).tolist()
    Dataset.from_list(blocks).save_to_disk(str(tmp_path / "train"))
    whole = run(tmp_path, tokenizer_folder, "whole", max_steps=2, per_device_train_batch_size=13)[1]
    split = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}
    parts = run(tmp_path, tokenizer_folder, "parts", max_steps=2, **split)[1]
    assert [line["loss"] for line in parts] == pytest.approx([line["loss"] for line in whole], rel=1e-5)
    assert [line["grad_norm"] for line in parts] == pytest.approx([line["grad_norm"] for line in whole], rel=1e-4)
    assert whole[0]["loss"] == pytest.approx(weighted_brute_force(fresh_model(tokenizer_folder), blocks), rel=1e-5)


def weighted_brute_force(model: torch.nn.Module, blocks: list[dict]) -> float:
    """Σ w·loss / Σ w over all targets, document by document."""
    total = weight = 0.0
    for block in blocks:
        start = 0
        for length in block["seq_lengths"]:
            ids = torch.tensor(block["input_ids"][start : start + length])
            with torch.no_grad():
                log_p = torch.log_softmax(model(ids[None]).logits[0].double(), -1)
            for position in range(1, length):
                w = block["loss_mask"][start + position] * block["loss_weights"][start + position]
                total, weight = total - w * log_p[position - 1, ids[position]].item(), weight + w
            start += length
    return total / weight


def test_eval_loss_does_not_depend_on_the_batch_size(tmp_path: Path, tokenizer_folder: Path) -> None:
    options = {"max_steps": 1, "eval_on_start": True, "eval_strategy": "steps", "eval_steps": 1}
    losses = [
        run(tmp_path, tokenizer_folder, f"batch{size}", per_device_eval_batch_size=size, **options)[1][0]["eval_loss"]
        for size in (1, 3, 13)
    ]
    assert losses[1:] == pytest.approx([losses[0]] * 2, rel=1e-6)


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(tmp_path: Path, tokenizer_folder: Path) -> None:
    losses = [
        [line["loss"] for line in run(tmp_path, tokenizer_folder, f"{seed}-{attempt}", seed=seed)[1]]
        for seed, attempt in ((1, 1), (1, 2), (2, 1))
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_the_last_steps_are_logged_even_if_the_window_is_not_full(tmp_path: Path, tokenizer_folder: Path) -> None:
    _, lines = run(tmp_path, tokenizer_folder, max_steps=5, logging_steps=3)
    assert [line["step"] for line in lines] == [3, 5]


def test_the_loss_falls(tmp_path: Path, tokenizer_folder: Path) -> None:
    _, lines = run(tmp_path, tokenizer_folder, max_steps=40, learning_rate=1e-2)
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]


def test_gradient_checkpointing_changes_no_number(tmp_path: Path, tokenizer_folder: Path) -> None:
    plain = run(tmp_path, tokenizer_folder, "plain", gradient_checkpointing=False)[1]
    again = run(tmp_path, tokenizer_folder, "again", gradient_checkpointing=True)[1]
    assert [line["loss"] for line in again] == pytest.approx([line["loss"] for line in plain], rel=1e-6)


def test_the_model_folder_loads_and_stops_at_the_tokenizers_end_token(tmp_path: Path, tokenizer_folder: Path) -> None:
    output, _ = run(tmp_path, tokenizer_folder, max_steps=1)
    model = AutoModelForCausalLM.from_pretrained(output / "model")
    assert model.generation_config.eos_token_id == 1
    assert AutoTokenizer.from_pretrained(output / "model").eos_token == "<eos>"
    assert json.loads((output / "result.json").read_text())["global_step"] == 1


def test_the_recipes_end_token_is_where_the_trained_model_stops(tmp_path: Path, tokenizer_folder: Path) -> None:
    output, _ = run(tmp_path, tokenizer_folder, max_steps=1, eos_token="w7")
    assert AutoTokenizer.from_pretrained(output / "model").eos_token == "w7"
    assert AutoModelForCausalLM.from_pretrained(output / "model").generation_config.eos_token_id == 7


def test_no_metric_line_has_a_number_that_json_cannot_hold(tmp_path: Path, tokenizer_folder: Path) -> None:
    _, lines = run(tmp_path, tokenizer_folder)
    assert all(math.isfinite(value) for line in lines for value in line.values())


def test_another_number_of_processes_than_asked_for_is_refused(tmp_path: Path, tokenizer_folder: Path) -> None:
    with pytest.raises(StageFailedError, match="expected 2 training processes, found 1"):
        run(tmp_path, tokenizer_folder, num_processes=2)


def test_a_vocabulary_too_small_for_the_tokenizer_is_refused(tokenizer_folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder)
    with pytest.raises(RecipeError, match="10 embeddings are too few for the tokenizer's 48 ids"):
        load_model(model_ref(config={**LLAMA, "vocab_size": 10}), tokenizer, seed=1)


def test_random_weights_come_from_the_seed(tokenizer_folder: Path) -> None:
    first, second, other = (
        load_model(model_ref(), AutoTokenizer.from_pretrained(tokenizer_folder), seed).get_input_embeddings().weight
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    set_seed(0)
