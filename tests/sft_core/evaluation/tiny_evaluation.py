"""A small model, held-out rows in any layout, and an evaluation of both."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, set_seed

from sft_core.evaluation import EvaluationConfig, EvaluationPlan
from sft_core.store.records import PROMPTS, SEGMENTS
from sft_core.store.tables import write_table

VOCABULARY = 24
SIZES = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
OF_TYPE = {"llama": {"intermediate_size": 64}, "opt": {"ffn_dim": 64, "word_embed_proj_dim": 32}}

Piece = tuple[int, int, int]
"""Number of a row, and where in it the piece begins and ends."""


def write_model(folder: Path, model_type: str = "llama", **options: Any) -> None:
    """A model with weights large enough that its answers differ, and its tokenizer."""
    sizes = {**SIZES, **OF_TYPE[model_type], **options}
    config = AutoConfig.for_model(model_type, vocab_size=VOCABULARY, eos_token_id=1, **{"pad_token_id": 0, **sizes})
    set_seed(3)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(4.0 if weight.ndim > 1 else 1.0)
    model.save_pretrained(folder)
    words = {"<pad>": 0, "<eos>": 1, **{f"w{i}": i for i in range(2, VOCABULARY)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<eos>"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>").save_pretrained(folder)


def ragged_rows(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Rows of 3 to 9 tokens; about two thirds are targets, each with a weight."""
    random = np.random.default_rng(seed)
    rows = []
    for length in random.integers(3, 10, count):
        mask = (random.random(length) < 0.7).astype(np.uint8)
        mask[-1] = 1
        ids, weights = random.integers(2, VOCABULARY, length), random.choice([0.25, 1.0, 2.0], length)
        rows.append({"input_ids": ids, "loss_mask": mask, "loss_weights": weights.astype(np.float32)})
    return rows


def write_eval(
    folder: Path,
    rows: Sequence[dict[str, Any]],
    blocks: Sequence[Sequence[Piece]],
    shards: Sequence[int],
    has_weights: bool = False,
    is_one_sequence: bool = False,
) -> None:
    """Write `eval/` and the way back to its rows.

    Args:
        folder: Of the data set.
        rows: By number.
        blocks: The pieces of each.
        shards: [rows] of each row.
        has_weights: Whether targets have weights.
        is_one_sequence: Whether the pieces of a block are one document.
    """
    columns = ["input_ids", "loss_mask", *(["loss_weights"] if has_weights else [])]
    table, segments = [], []
    for number, pieces in enumerate(blocks):
        lengths = [end - start for _, start, end in pieces]
        parts = {name: np.concatenate([rows[row][name][a:b] for row, a, b in pieces]) for name in columns}
        table.append({**parts, "seq_lengths": [sum(lengths)] if is_one_sequence else lengths})
        segments += [
            {"block": number, "shard": shards[row], "row": row, "start": a, "tokens": b - a} for row, a, b in pieces
        ]
    Dataset.from_list(table).save_to_disk(str(folder / "eval"))
    write_table(folder / "eval-segments.arrow", SEGMENTS, segments)


def write_prompts(folder: Path, prompt_ids: Sequence[Sequence[int]], references: Sequence[str]) -> Path:
    """Write the prompts of rows 0, 1, …"""
    rows = [
        {"source": "s", "row": i, "prompt_ids": ids, "reference": reference, "metadata": "{}"}
        for i, (ids, reference) in enumerate(zip(prompt_ids, references, strict=True))
    ]
    write_table(folder / "prompts.arrow", PROMPTS, rows)
    return folder / "prompts.arrow"


def plan_of(folder: Path, model: Path, sources: Sequence[str] = (), prompts: Path | None = None, **evaluation: Any):
    """Evaluate what `write_eval` wrote, if it did."""
    return EvaluationPlan(
        evaluation=EvaluationConfig(**evaluation),
        model_folder=model,
        baseline=None,
        baseline_seed=0,
        eval_folder=folder / "eval" if (folder / "eval").exists() else None,
        source_of_shard=tuple(sources),
        prompts=prompts,
        output_folder=folder,
    )
