"""What a line of metrics tells, and what happens when a number is none."""

import json
import types
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from sft_core.errors import RecipeError
from sft_core.store.records import SEGMENTS
from sft_core.store.tables import write_table
from sft_core.training.speed import Speed, flops_per_pair, flops_per_token, peak_flops
from tests.sft_core.training.test_train import (
    LLAMA,
    brute_force,
    fresh_model,
    run,
    tokenizer_folder,  # noqa: F401  (a fixture)
    write_blocks,
)

SHARDS = ("gsm8k", "chats (new)", "gsm8k")


def write_data(folder: Path, split: str, seed: int) -> list[dict]:
    """Blocks whose documents come from three shards in turn."""
    blocks = write_blocks(folder / split, seed)
    rows, number = [], 0
    for index, block in enumerate(blocks):
        for tokens in block["seq_lengths"]:
            rows.append({"block": index, "shard": number % 3, "row": number, "start": 0, "tokens": tokens})
            number += 1
    write_table(folder / f"{split}-segments.arrow", SEGMENTS, rows)
    return blocks


def documents_of(blocks: list[dict], shards: set[int]) -> list[dict]:
    """Blocks of one document each: those of some shards."""
    found, number = [], 0
    for block in blocks:
        start = 0
        for tokens in block["seq_lengths"]:
            part = slice(start, start + tokens)
            if number % 3 in shards:
                columns = {name: block[name][part] for name in ("input_ids", "loss_mask")}
                found.append({**columns, "seq_lengths": [tokens]})
            start, number = start + tokens, number + 1
    return found


@pytest.mark.parametrize("attn_implementation", ["auto", "sdpa"])
def test_losses_of_sources_equal_a_brute_force_computation(
    tmp_path: Path,
    tokenizer_folder: Path,  # noqa: F811
    attn_implementation: str,
) -> None:
    blocks = {split: write_data(tmp_path, split, seed) for split, seed in (("train", 1), ("eval", 2))}
    _, lines = run(
        tmp_path,
        tokenizer_folder,
        model={"attn_implementation": attn_implementation},
        source_of_shard=SHARDS,
        max_steps=1,
        per_device_train_batch_size=13,
        per_device_eval_batch_size=4,
        eval_strategy="steps",
        eval_steps=1,
        eval_on_start=True,
    )
    model = fresh_model(tokenizer_folder)
    for line, prefix, split in ((lines[1], "", "train"), (lines[0], "eval_", "eval")):
        for name, shards in (("gsm8k", {0, 2}), ("chats _new_", {1})):
            expected = brute_force(model, documents_of(blocks[split], shards))[0]
            assert line[f"{prefix}loss/{name}"] == pytest.approx(expected, rel=1e-5)


def test_a_single_source_has_no_loss_of_its_own(tmp_path: Path, tokenizer_folder: Path) -> None:  # noqa: F811
    write_data(tmp_path, "train", 1)
    _, lines = run(tmp_path, tokenizer_folder, max_steps=1, source_of_shard=("gsm8k",) * 3)
    assert not [name for name in lines[0] if name.startswith("loss/")]


def test_the_layout_and_the_attention_change_no_number(tmp_path: Path, tokenizer_folder: Path) -> None:  # noqa: F811
    """Padding-free or padded, with or without gradient checkpointing: the same training."""
    ways = [
        ("sdpa", {}),
        ("sdpa", {"padding_free": True}),
        ("auto", {}),
        ("varlen", {"gradient_checkpointing": True}),
        ("eager", {"padding_free": True, "gradient_checkpointing": True}),
    ]
    results = []
    for number, (attention, training) in enumerate(ways):
        output, lines = run(
            tmp_path, tokenizer_folder, f"way{number}", model={"attn_implementation": attention}, **training
        )
        results.append(lines)
        told = json.loads((output / "result.json").read_text())
        assert told["attn_implementation"] == ("varlen" if attention == "auto" else attention)
        assert told["padding_free"] == (attention in ("auto", "varlen") or "padding_free" in training)
    for lines in results[1:]:
        for line, expected in zip(lines, results[0], strict=True):
            for name in ("loss", "entropy", "mean_token_accuracy", "grad_norm", "num_tokens"):
                assert line[name] == pytest.approx(expected[name], rel=1e-4), name


def test_each_line_tells_the_speed_and_the_memory(tmp_path: Path, tokenizer_folder: Path) -> None:  # noqa: F811
    _, lines = run(tmp_path, tokenizer_folder)
    for line in lines:
        assert line["tokens_per_second"] > 0
        assert 0.01 < line["peak_memory_gb"] < 1000
        assert "mfu" not in line, "nobody knows this device's peak"


def spoil(folder: Path, block: int) -> None:
    """Give the targets of one block a weight that is no number, and all others 1."""
    blocks = Dataset.load_from_disk(str(folder / "train")).to_list()
    for number, each in enumerate(blocks):
        weight = float("nan") if number == block else 1.0
        each["loss_weights"] = [weight] * len(each["input_ids"])
    import shutil

    shutil.rmtree(folder / "train")
    Dataset.from_list(blocks).save_to_disk(str(folder / "train"))


def test_a_loss_that_is_no_number_ends_the_training_and_names_its_rows(
    tmp_path: Path,
    tokenizer_folder: Path,  # noqa: F811
) -> None:
    write_data(tmp_path, "train", 1)
    rows = documents_in_block(tmp_path, 5)
    spoil(tmp_path, 5)
    with pytest.raises(RecipeError, match=r"at step [1-4] the loss is not a finite number, in block 5 of") as error:
        run(tmp_path, tokenizer_folder, source_of_shard=SHARDS, max_steps=4, logging_steps=4)
    for source, row in rows:
        assert f"{source} row {row}" in str(error.value)
    assert not (tmp_path / "out" / "model").exists()


def documents_in_block(folder: Path, block: int) -> list[tuple[str, int]]:
    from sft_core.modeling.segments import Segments

    return Segments(folder / "train-segments.arrow", SHARDS).rows_of_block(block)


def test_the_step_that_is_named_is_the_one_that_saw_the_block(tmp_path: Path, tokenizer_folder: Path) -> None:  # noqa: F811
    from sft_core.training import TrainingConfig, batches_of_step

    write_data(tmp_path, "train", 1)
    spoil(tmp_path, 5)
    options = {"max_steps": 12, "logging_steps": 12, "per_device_train_batch_size": 1}
    config = TrainingConfig(**options)
    step = next(step for step in range(1, 13) if [5] in batches_of_step(config, 13, 1, step))
    with pytest.raises(RecipeError, match=f"at step {step} the loss is not a finite number, in block 5 "):
        run(tmp_path, tokenizer_folder, **options)


def test_a_gradient_that_is_no_number_ends_the_training(
    tmp_path: Path,
    tokenizer_folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A weight whose gradient alone is infinite, while the loss is finite."""
    from sft_core.modeling import load_model
    from sft_core.training import run as training_run

    def load_broken(*args: object) -> torch.nn.Module:
        model = load_model(*args)
        model.get_input_embeddings().weight.register_hook(lambda gradient: gradient * float("inf"))
        return model

    monkeypatch.setattr(training_run, "load_model", load_broken)
    with pytest.raises(RecipeError, match=r"at step 1 the losses are finite, but not the gradient's norm, in blocks"):
        run(tmp_path, tokenizer_folder)


def test_operations_are_six_a_parameter_and_twelve_a_pair_layer_head_and_width() -> None:
    model = torch.nn.Linear(10, 3)
    assert flops_per_token(model) == 6 * 33
    model.bias.requires_grad_(False)
    assert flops_per_token(model) == 6 * 30 + 4 * 3
    from transformers import AutoConfig

    assert flops_per_pair(AutoConfig.for_model(**LLAMA)) == 12 * 2 * 32


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40", None),
        ("cpu", None),
    ],
)
def test_peaks_are_told_for_known_devices_alone(name: str, peak: float | None) -> None:
    assert peak_flops(name, torch.bfloat16) == peak
    assert peak_flops(name, torch.float32) is None


def test_paused_time_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    from sft_core.training import speed

    now = [100.0]
    monkeypatch.setattr(speed, "time", types.SimpleNamespace(perf_counter=lambda: now[0]))
    model = torch.nn.Linear(10, 3)
    model.config = types.SimpleNamespace(get_text_config=lambda: types.SimpleNamespace())
    watch = Speed(model, torch.float32, num_processes=1)
    now[0] += 2
    with watch.paused():
        now[0] += 50
    now[0] += 3
    assert watch.drain(1000, 0)["tokens_per_second"] == pytest.approx(200)
    now[0] += 1
    assert watch.drain(1000, 0)["tokens_per_second"] == pytest.approx(1000), "each line begins anew"
